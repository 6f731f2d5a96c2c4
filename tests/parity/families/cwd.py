"""CWD on logits, on features, and TorchDistiller's variants."""

from foglight.losses.logits.cwd import CWD
from parity.inputs import batch, info, output
from parity.protocol import Case, Outcome

PREFIXES = ("cwd", "cwd_logits", "cwd_variants")
METHOD = "cwd"


def run(case: Case) -> Outcome:
    key = next(name for name in ("student", "student_logits", "student_feat") if name in case)
    student, teacher = case.leaf(key), case[key.replace("student", "teacher")]
    loss = CWD(
        info(student),
        info(teacher),
        temperature=float(case.meta.get("T", case.meta.get("temperature", 1.0))),
        norm=case.meta.get("norm_type", "channel"),
        divergence=case.meta.get("divergence", "kl"),
    )
    total = loss(output(student), output(teacher), batch(len(student)))["cwd"]
    total.backward()
    outcome = Outcome()
    outcome.value("loss", case["loss"], total)
    outcome.gradient(key, case[f"grad_{key}"], student.grad)
    return outcome
