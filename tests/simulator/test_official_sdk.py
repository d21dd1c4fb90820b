"""Huawei's own client against the simulator: if it is content, the simulator speaks MetaStudio's language."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from worker.simulator import Simulator

pytest.importorskip("huaweicloudsdkmetastudio", reason="the official SDK comes with the `test` extra")

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions import exceptions
from huaweicloudsdkmetastudio.v1 import (
    Delete2dModelTrainingJobRequest,
    DeleteAssetRequest,
    DeleteVoiceTrainingJobRequest,
    List2dModelTrainingJobRequest,
    ListAssetsRequest,
    ListAssetSummaryRequest,
    ListAssetSummarysReq,
    ListVoiceTrainingJobRequest,
    MetaStudioClient,
    RestoreAssetRequest,
    Show2dModelTrainingJobRequest,
    ShowAssetRequest,
    ShowVoiceTrainingJobRequest,
    UpdateDigitalAssetRequest,
    UpdateDigitalAssetRequestBody,
)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK writes ~/.huaweicloud/application_id, and a ~/.netrc would replace its signature."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator() as app:
        app.add_job("job-1", app_user_id="user-42", voice_train_job_id="voice-1")
        app.add_job("job-2", "TRAINING", tags=["x"])
        yield app


@pytest.fixture
def client(simulator: Simulator) -> Iterator[Callable[..., Any]]:
    """Builds clients; their connections are closed at the end."""
    built: list[Any] = []

    def build(ak: str = simulator.ak, sk: str = simulator.sk, token: str | None = None) -> Any:
        credentials = BasicCredentials(ak, sk, simulator.project)
        if token is not None:
            credentials = credentials.with_security_token(token)
        made = MetaStudioClient.new_builder().with_credentials(credentials).with_endpoint(simulator.url).build()
        built.append(made)
        return made

    yield build
    for made in built:
        made._http_client._session.close()


def delete(client: Any, job_id: str = "job-1", **header: str) -> Any:
    return client.delete2d_model_training_job(Delete2dModelTrainingJobRequest(job_id=job_id, **header))


def test_it_deletes_a_job(simulator: Simulator, client: Callable[..., Any]) -> None:
    response = delete(client())
    assert response.status_code == 200
    assert response.x_request_id == simulator.calls()[-1]["request_id"]
    assert simulator.job_ids() == ["job-2"]


def test_it_shows_a_job(client: Callable[..., Any]) -> None:
    shown = client().show2d_model_training_job(Show2dModelTrainingJobRequest(job_id="job-1"))
    assert (shown.job_id, shown.state, shown.voice_train_job_id) == ("job-1", "JOB_SUCCESS", "voice-1")
    assert shown.operation_logs[0].operate_user == "USER"
    assert len(shown.x_request_id) == 32


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["job-1", "job-2"]),
        ({"job_id": "job-1", "limit": 1}, ["job-1"]),
        ({"state": "TRAINING,JOB_FINISH", "tag": "x"}, ["job-2"]),
        ({"is_flexus": False, "sort_key": "create_time", "sort_dir": "asc", "offset": 1, "limit": 100}, ["job-2"]),
        ({"create_until": "2001-01-01T00:00:00Z"}, []),
        ({"name": "a b+c~d/é%"}, []),
    ],
)
def test_it_lists_jobs(client: Callable[..., Any], query: dict[str, Any], found: list[str]) -> None:
    listing = client().list2d_model_training_job(List2dModelTrainingJobRequest(**query))
    assert [job.job_id for job in listing.jobs] == found


@pytest.mark.parametrize("job_id", ["a b", "a+b", "作业é", "100%", "a%2Fb", "!*'();:@&=+$,", "a?b#c", '[]{}|\\^`"<>'])
def test_its_signature_of_an_odd_id_is_accepted(simulator: Simulator, client: Callable[..., Any], job_id: str) -> None:
    simulator.add_job(job_id)
    assert delete(client(), job_id).status_code == 200
    assert simulator.calls()[-1]["job_id"] == job_id


def test_it_works_with_a_temporary_key(simulator: Simulator, client: Callable[..., Any]) -> None:
    simulator.set_credential("AK-TEMP", "SK-TEMP", security_token="gQpjbi1ub3J0aC00jD4EjEXAMPLE+/==")
    assert delete(client("AK-TEMP", "SK-TEMP", "gQpjbi1ub3J0aC00jD4EjEXAMPLE+/==")).status_code == 200
    with pytest.raises(exceptions.ClientRequestException) as refused:
        delete(client("AK-TEMP", "SK-TEMP"))
    assert refused.value.error_msg.endswith("Get secretKey failed")


def test_it_names_an_app_user(simulator: Simulator, client: Callable[..., Any]) -> None:
    simulator.set_answers(isolate_app_users=True)
    with pytest.raises(exceptions.ClientRequestException):
        delete(client())
    assert delete(client(), x_app_user_id="user-42").status_code == 200
    assert simulator.calls()[-1]["app_user"] == "user-42"


def test_it_reads_the_gateways_refusals_until_the_key_is_locked(
    simulator: Simulator, client: Callable[..., Any]
) -> None:
    wrong, messages = client(sk="wrong"), []
    for _ in range(6):
        with pytest.raises(exceptions.ClientRequestException) as refused:
            delete(wrong)
        assert (refused.value.status_code, refused.value.error_code) == (401, "APIGW.0301")
        messages.append(refused.value.error_msg.removeprefix("Incorrect IAM authentication information: "))
    assert all(message.startswith("verify aksk signature fail, canonicalRequest:DELETE|") for message in messages[:5])
    assert messages[5] == "AK access failed to reach the limit,forbidden."
    with pytest.raises(exceptions.ClientRequestException):
        delete(client())
    assert simulator.effects() == {}


def test_it_reads_what_metastudio_refuses(client: Callable[..., Any]) -> None:
    for job_id in ("nobody", "job-2"):
        with pytest.raises(exceptions.ClientRequestException) as refused:
            delete(client(), job_id)
        assert (refused.value.status_code, refused.value.error_code) == (400, "MSS.00000003")
        assert len(refused.value.request_id) == 32


def test_it_reads_a_404(simulator: Simulator, client: Callable[..., Any]) -> None:
    simulator.set_answers(absent="404")
    with pytest.raises(exceptions.ClientRequestException) as refused:
        delete(client(), "nobody")
    assert (refused.value.status_code, refused.value.error_code) == (404, "MSS.00000003")


def test_it_loses_the_code_of_a_429_as_known(simulator: Simulator, client: Callable[..., Any]) -> None:
    simulator.fault("throttled")
    with pytest.raises(exceptions.ClientRequestException) as refused:
        delete(client())
    assert (refused.value.status_code, refused.value.error_code) == (429, "429")


def test_it_raises_for_a_500_and_for_a_reset(simulator: Simulator, client: Callable[..., Any]) -> None:
    simulator.fault("error")
    simulator.fault("reset", deletes=True)
    one = client()
    with pytest.raises(exceptions.ServerResponseException) as failed:
        delete(one)
    assert (failed.value.status_code, failed.value.error_code) == (500, "MSS.00000004")
    with pytest.raises(exceptions.ConnectionException):
        delete(one)
    assert simulator.effects() == {"job-1": 1}


@pytest.mark.parametrize("kind", ["redirect", "error_in_200"])
def test_it_takes_for_success_what_is_none(simulator: Simulator, client: Callable[..., Any], kind: str) -> None:
    simulator.fault(kind)
    assert delete(client()).status_code in {200, 302}
    assert simulator.effects() == {}


# what a job leaves behind


@pytest.fixture
def one(simulator: Simulator, client: Callable[..., Any]) -> Any:
    """A client, and the parts of one avatar."""
    simulator.add_avatar("job-3", "JOB_FINISH")
    return client()


def test_it_shows_and_lists_assets(one: Any) -> None:
    shown = one.show_asset(ShowAssetRequest(asset_id="asset-job-3"))
    assert (shown.asset_id, shown.asset_type, shown.asset_state) == ("asset-job-3", "HUMAN_MODEL_2D", "ACTIVED")
    assert shown.asset_extra_meta.human_model_2d_meta.voice_asset_id == "voice-asset-job-3"
    assert shown.files[0].asset_file_category == "MAIN"
    ids = ["asset-job-3", "voice-asset-job-3", "nobody"]
    listing = one.list_assets(ListAssetsRequest(asset_id=ids, limit=100, asset_state="ACTIVED,DELETING"))
    assert (listing.count, sorted(row.asset_id for row in listing.assets)) == (2, ["asset-job-3", "voice-asset-job-3"])
    assert one.list_assets(ListAssetsRequest(role="SHARER")).count == 0
    summary = one.list_asset_summary(ListAssetSummaryRequest(body=ListAssetSummarysReq(asset_ids=ids)))
    assert [row.asset_state for row in summary.asset_list] == ["ACTIVED", "ACTIVED"]


def test_it_deactivates_bins_restores_and_purges_an_asset(simulator: Simulator, one: Any) -> None:
    with pytest.raises(exceptions.ClientRequestException) as refused:
        one.delete_asset(DeleteAssetRequest(asset_id="asset-job-3", mode="force"))
    assert (refused.value.status_code, refused.value.error_code) == (400, "MSS.00000003")
    body = UpdateDigitalAssetRequestBody(asset_state="UNACTIVED")
    updated = one.update_digital_asset(UpdateDigitalAssetRequest(asset_id="asset-job-3", body=body))
    assert updated.asset_state == "UNACTIVED"
    assert one.delete_asset(DeleteAssetRequest(asset_id="asset-job-3")).status_code == 200
    assert one.show_asset(ShowAssetRequest(asset_id="asset-job-3")).asset_state == "DELETING"
    assert one.restore_asset(RestoreAssetRequest(asset_id="asset-job-3")).status_code == 200
    purged = one.delete_asset(DeleteAssetRequest(asset_id="asset-job-3", mode="force"))
    assert (purged.status_code, len(purged.x_request_id)) == (200, 32)
    assert simulator.assets()[simulator.project]["asset-job-3"] == "DELETED"


def test_it_reads_that_there_is_no_such_asset(one: Any) -> None:
    with pytest.raises(exceptions.ClientRequestException) as refused:
        one.show_asset(ShowAssetRequest(asset_id="nobody"))
    assert (refused.value.status_code, refused.value.error_code) == (400, "MSS.10001001")


def test_it_shows_lists_and_deletes_voice_jobs(simulator: Simulator, one: Any) -> None:
    shown = one.show_voice_training_job(ShowVoiceTrainingJobRequest(job_id="voice-job-3"))
    assert (shown.dhtms_job_id, shown.asset_id, shown.state) == ("job-3", "voice-asset-job-3", "SUCCEED")
    listing = one.list_voice_training_job(ListVoiceTrainingJobRequest(job_id="voice-job-3", limit=1))
    assert (listing.count, [row.job_id for row in listing.jobs]) == (1, ["voice-job-3"])
    assert one.delete_voice_training_job(DeleteVoiceTrainingJobRequest(job_id="voice-job-3")).status_code == 200
    assert one.list_voice_training_job(ListVoiceTrainingJobRequest(state="SUCCEED")).count == 0
    with pytest.raises(exceptions.ClientRequestException) as refused:
        one.delete_voice_training_job(DeleteVoiceTrainingJobRequest(job_id="voice-job-3"))
    assert (refused.value.status_code, refused.value.error_code) == (400, "MSS.00000003")
    assert simulator.effects("voice_job") == {"voice-job-3": 1}
