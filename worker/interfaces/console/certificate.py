"""The certificate of a deletion: as a page of the console, and to be saved."""

from __future__ import annotations

from worker.interfaces.console.deletion import PATH
from worker.interfaces.console.request_context import Download, Page, RequestContext, View
from worker.services import certificate, certificate_forms
from worker.services.certificate_forms import CertificateForm
from worker.services.show import UnknownJob

_KINDS = {
    CertificateForm.HTML: "text/html; charset=utf-8",
    CertificateForm.TXT: "text/plain; charset=utf-8",
    CertificateForm.JSON: "application/json",
}


def show(context: RequestContext) -> Page | Download:
    params = context.request.path_params
    found = certificate.find(context.app, params["project"], params["job"])
    if chosen := context.query("form"):
        if chosen not in tuple(CertificateForm):
            raise UnknownJob("a certificate has no such form")
        form, name = CertificateForm(chosen), params["job"].replace(":", "-")
        return Download(certificate_forms.form_as(form, found), f"certificate-{name}.{form}", _KINDS[form])
    _, content = certificate_forms.verified_words(found)
    values = {"content": content, "proof": found["proof"], "project": params["project"], "job": params["job"]}
    return Page("certificate.html", values | {"forms": list(CertificateForm)})


VIEWS = (View(PATH + "/certificate", show),)
