"""KD on logits in its four published reductions."""

from foglight.losses.logits.kd import KD
from foglight.losses.task.cross_entropy import CrossEntropy
from parity.inputs import batch, info, output
from parity.protocol import Case, Outcome

PREFIXES = ("kd", "kd_cirkd", "kd_elementmean", "kd_torchdistill", "ifvd_kd", "skd_pixel")
METHOD = "kd"


def options(case: Case) -> dict[str, object]:
    """The published form of each family, in our words."""
    temperature = float(case.meta.get("T", case.meta.get("temperature", 1.0)))
    if case.stem in ("kd_elementmean", "ifvd_kd"):
        grid = "label" if case.meta.get("upsample") else "head"
        return {"temperature": temperature, "reduction": "element_mean", "scale_gradient": False, "grid": grid}
    if case.stem == "kd_torchdistill":
        return {"temperature": temperature, "reduction": "image_mean", "scale_gradient": bool(case.meta["alpha"])}
    if case.stem == "skd_pixel":
        return {"reduction": "position_mean", "divergence": "cross_entropy"}
    return {"temperature": temperature}


def run(case: Case) -> Outcome:
    key = "student" if "student" in case else "student_logits"
    student, teacher = case.leaf(key), case[key.replace("student", "teacher")]
    upsampled = tuple(8 * side for side in student.shape[2:]) or (8, 8)
    given = batch(len(student), label=case.arrays.get("label"), size=upsampled)
    loss = KD(info(student), info(teacher), **options(case))
    total = loss(output(student), output(teacher), given)["kd"]
    if case.meta.get("alpha"):
        hard = CrossEntropy(info(student), None)(output(student), None, given)["ce"]
        total = case.meta["alpha"] * hard + case.meta["beta"] * total
    total.backward()
    outcome = Outcome()
    outcome.value("loss", case["loss"], total)
    outcome.gradient(key, case[f"grad_{key}"], student.grad)
    return outcome
