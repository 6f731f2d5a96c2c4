"""mIoU over images: CIRKD's running score (float32 counts, an absent class counts as 0) and IFVD's confusion matrix.

CIRKD's pixel accuracy is not compared: it takes the argmax of logits truncated to integers.
"""

import torch

from foglight.metrics.confusion import confusion_matrix, intersection_over_union, mean_over_classes
from parity.protocol import Case, Outcome

PREFIXES = ("miou",)
METHOD = None


def run(case: Case) -> Outcome:
    logits, label, ignore_index = case["logits"], case["labels"], case.meta["ignore"]
    prediction, classes = logits.argmax(1), logits.shape[1]
    confusion, running = torch.zeros(classes, classes, dtype=torch.int64), []
    for image in range(len(logits)):
        confusion += confusion_matrix(prediction[image], label[image], num_classes=classes, ignore_index=ignore_index)
        running.append(mean_over_classes(intersection_over_union(confusion), absent="zero"))
    intersection, iou = confusion.diagonal(), intersection_over_union(confusion)
    outcome = Outcome()
    outcome.value("prediction", case["pred"], prediction)
    outcome.value("confusion", case["confusion"], confusion)
    outcome.value("intersection", case["total_inter"], intersection)
    outcome.value("union", case["total_union"], confusion.sum(0) + confusion.sum(1) - intersection)
    outcome.value("IoU", case["confusion_iou"], iou.nan_to_num(nan=0.0))
    outcome.value("mIoU by confusion matrix", case["confusion_miou"], running[-1])
    outcome.value("mIoU by score", case["score_miou"], running[-1])
    outcome.value("running mIoU", case["score_running_miou"], torch.stack(running))
    return outcome
