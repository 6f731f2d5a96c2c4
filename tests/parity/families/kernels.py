"""CKA and HSIC between two sets of rows: linear and Gaussian kernels, biased and unbiased."""

from torch import Tensor

from foglight.functional.kernels import cka, gaussian_kernel, hsic, linear_cka
from parity.protocol import Case, Outcome

PREFIXES = ("cka", "cka_unbiased", "hsic")
METHOD = "arfd"


def run(case: Case) -> Outcome:
    student, teacher = case.leaf("student"), case["teacher"]
    outcome = Outcome()
    if case.stem == "hsic":
        total = _hsic(case, student, teacher)
    else:
        alignment = _alignment(case, student, teacher)
        outcome.value("cka", case["cka"], alignment)
        total = 1 - alignment
    total.backward()
    outcome.value("loss", case["loss"], total)
    outcome.gradient("student", case["grad_student"], student.grad)
    if "hsic_xy" in case:
        kernels = student @ student.T, teacher @ teacher.T
        for name, (first, second) in {"xy": kernels, "xx": kernels[:1] * 2, "yy": kernels[1:] * 2}.items():
            outcome.value(f"hsic_{name}", case[f"hsic_{name}"], hsic(first, second, unbiased=True))
    return outcome


def _alignment(case: Case, student: Tensor, teacher: Tensor) -> Tensor:
    unbiased = case.stem == "cka_unbiased"
    if case.meta.get("kernel", "linear") == "linear":
        return linear_cka(student, teacher, unbiased=unbiased)
    sigma = case.meta["sigma"]
    return cka(gaussian_kernel(student, sigma), gaussian_kernel(teacher, sigma), unbiased=unbiased)


def _hsic(case: Case, student: Tensor, teacher: Tensor) -> Tensor:
    """HSIC-bottleneck divides by n^2 where the usual estimator divides by (n - 1)^2."""
    sigma, examples = float(case.meta["sigma"]), len(student)
    usual = hsic(gaussian_kernel(student, sigma), gaussian_kernel(teacher, sigma))
    return usual * (examples - 1) ** 2 / examples**2
