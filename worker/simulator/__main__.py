"""`python -m worker.simulator`: the simulator as a process; `eraser simulator` is this command."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from pathlib import Path

import click

from worker.model.errors import EraserError, UsageError
from worker.simulator.iam import LIFE_S, IamUser
from worker.simulator.kinds import FAMILIES
from worker.simulator.library_behaviour import CASCADES, LibraryBehaviour
from worker.simulator.responses import CHOICES
from worker.simulator.simulator import DEMO_AK, DEMO_DOMAIN, DEMO_PASSWORD, DEMO_PROJECT, DEMO_SK, DEMO_USER, serve
from worker.simulator.verification import LOCK_S, Credential

_FILE = click.Path(dir_okay=False, path_type=Path)
_PER_S = click.IntRange(min=1)
_SECONDS = click.FloatRange(min=0)


@click.command("simulator")
@click.option("--port", default=18080, show_default=True, type=click.IntRange(0, 65535), help="0 picks a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="A loopback address, or any with --tls.")
@click.option("--tls", type=_FILE, help="Serve HTTPS; FILE gets the certificate of a CA made at start.")
@click.option("--ak", default=DEMO_AK, show_default=True, help="Access key that may call.")
@click.option("--sk", default=DEMO_SK, show_default=True, help="Its made-up secret.")
@click.option("--security-token", default=None, help="Makes it a temporary key.")
@click.option("--iam-user", default=DEMO_USER, show_default=True, help="IAM user that may fetch tokens.")
@click.option("--iam-password", default=DEMO_PASSWORD, show_default=True, help="Its made-up password.")
@click.option("--iam-domain", default=DEMO_DOMAIN, show_default=True, help="The account that the user belongs to.")
@click.option("--token-life", "token_life_s", default=LIFE_S, show_default=True, type=_SECONDS, help="Life of a token.")
@click.option("--project", "projects", multiple=True, default=[DEMO_PROJECT], show_default=True)
@click.option("--jobs", default=0, show_default=True, type=click.IntRange(min=0), help="Preload job-00001 to job-N.")
@click.option("--leftovers", is_flag=True, help="Give each of them a model asset, a voice job and a voice asset.")
@click.option(
    "--cascade", default="none", show_default=True, type=click.Choice(CASCADES), help="What a DELETE does to it."
)
@click.option("--jobs-file", type=_FILE, help="Preload jobs: one id or JSON object a line.")
@click.option("--delete-per-s", type=_PER_S, help="Throttle DELETE per project; none by default.")
@click.option("--get-per-s", type=_PER_S, help="Throttle GET per project; none by default.")
@click.option("--limit", "limits", multiple=True, metavar="FAMILY=N", help="Throttle other calls: asset_delete=5.")
@click.option("--retry-after", "retry_after_s", type=_SECONDS, help="Send Retry-After with a 429.")
@click.option("--latency", "latency_s", default=0.0, type=_SECONDS, help="Seconds that every call takes.")
@click.option("--jitter", "jitter_s", default=0.0, type=_SECONDS, help="Up to so many seconds more.")
@click.option("--clock-offset", "clock_offset_s", default=0.0, help="Seconds by which the server's clock is wrong.")
@click.option("--lock", "lock_s", default=LOCK_S, show_default=True, type=_SECONDS, help="Lock of a key that failed.")
@click.option("--absent", default="400", show_default=True, type=click.Choice(CHOICES), help="DELETE of no job.")
@click.option("--not-deletable", default="400", show_default=True, type=click.Choice(CHOICES))
@click.option("--isolate-app-users", is_flag=True, help="Hide jobs of an app user from calls that do not name it.")
@click.option(
    "--ignore-filters", is_flag=True, help="List with only job_id, offset, limit and sorting, ignoring other filters."
)
@click.option("--keep-calls", type=click.IntRange(min=1), help="Keep the last N calls in memory; all by default.")
@click.option("--log", type=_FILE, help="Append every call to this file as a JSON line.")
def main(
    ak: str,
    sk: str,
    security_token: str | None,
    iam_user: str,
    iam_password: str,
    iam_domain: str,
    projects: tuple[str, ...],
    limits: tuple[str, ...],
    cascade: str,
    tls: Path | None,
    **options: object,
) -> None:
    """Run a local MetaStudio, with IAM, that checks signatures and tokens and injects failures on request."""

    def ready(url: str) -> None:
        click.echo(f"MetaStudio simulator: {url}")
        if tls:
            click.echo(f"export ERASER_CA_BUNDLE={tls.absolute()}  # and for curl: --cacert {tls}")
        click.echo(f"export ERASER_ENDPOINT={url} HUAWEICLOUD_SDK_AK={ak} HUAWEICLOUD_SDK_PROJECT_ID={projects[0]}")
        click.echo(f"export HUAWEICLOUD_SDK_SK={sk}  # opens this simulator only")
        click.echo("With tokens of IAM instead of the key:")
        click.echo(
            f"export ERASER_IAM_USER={iam_user} ERASER_IAM_DOMAIN={iam_domain} HUAWEICLOUD_SDK_IAM_ENDPOINT={url}"
        )
        click.echo(f"export ERASER_IAM_PASSWORD={iam_password}; unset HUAWEICLOUD_SDK_AK HUAWEICLOUD_SDK_SK")
        click.echo("With temporary keys, as on an ECS with an agency, in place of either:")
        click.echo(f"export ERASER_CREDENTIALS=ecs ERASER_METADATA_ENDPOINT={url}")
        click.echo("To make one job always fail (all commands: docs/simulator.md):")
        fault = '{"kind": "error", "job_id": "job-00002", "times": null}'
        click.echo(f"curl {url}/_control/fault -d '{fault}'   # well again: curl {url}/_control/clear_faults")

    keys, users = (
        [Credential(ak, sk, security_token, projects)],
        [IamUser(iam_user, iam_password, iam_domain, projects)],
    )
    try:
        library = LibraryBehaviour(cascade=cascade)
        serve(ready, credentials=keys, users=users, tls=tls, per_s=_per_s(limits), library=library, **options)  # type: ignore[arg-type]
    except EraserError as problem:
        click.echo(f"Error: {problem}", err=True)
        raise SystemExit(problem.exit_code) from problem
    except OSError as problem:
        raise click.ClickException(_why_not(problem, options["port"])) from problem


def _why_not(problem: OSError, port: object) -> str:
    """Why it does not start, and what to do."""
    if problem.errno == errno.EADDRINUSE:
        return f"another program has port {port}; name another --port, or 0 for any"
    return str(problem)


def _per_s(limits: Iterable[str]) -> dict[str, int]:
    pairs = [limit.partition("=") for limit in limits]
    if wrong := [family for family, _, number in pairs if not number.isdecimal()]:
        raise UsageError(f"--limit {wrong[0]}: use FAMILY=N with calls a second; families: {', '.join(FAMILIES)}")
    return {family: int(number) for family, _, number in pairs}


if __name__ == "__main__":
    main()
