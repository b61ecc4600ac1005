import pytest
import torch
from sklearn.metrics import confusion_matrix
from torchmetrics.classification import MulticlassAccuracy

from synthderm.core import InputError
from synthderm.metrics.fidelity import ClassFidelity, class_confusion


class RedValue(torch.nn.Module):
    """Recognises class c where the red channel is c."""

    def forward(self, images):
        return torch.nn.functional.one_hot(images[:, 0, 0, 0].long(), 3).float()


def images_of(classes):
    return classes.to(torch.uint8)[:, None, None, None].expand(-1, 3, 4, 4).contiguous()


@pytest.mark.parametrize("average", ["macro", "micro"])
def test_the_share_is_the_accuracy(average):
    generator = torch.Generator().manual_seed(0)
    requested, recognised = (torch.randint(0, 3, (50,), generator=generator) for _ in range(2))
    metric = ClassFidelity(RedValue(), 3, average)
    metric.update(images_of(recognised)[:20], requested[:20])
    metric.update(images_of(recognised)[20:], requested[20:])
    expected = MulticlassAccuracy(num_classes=3, average=average)(recognised, requested)
    assert metric.compute().item() == pytest.approx(expected.item(), abs=1e-6)
    assert metric.confusion.tolist() == confusion_matrix(requested, recognised, labels=[0, 1, 2]).tolist()


def test_a_class_that_nobody_asked_for_has_no_share():
    metric = ClassFidelity(RedValue(), 3, "none")
    metric.update(images_of(torch.tensor([0, 2, 2])), torch.tensor([0, 0, 2]))
    assert metric.compute().tolist()[::2] == [0.5, 1.0]
    assert metric.compute()[1].isnan()
    metric.average = "macro"
    metric._computed = None
    assert metric.compute() == 0.75


def test_bad_input():
    with pytest.raises(InputError, match="average must be"):
        ClassFidelity(RedValue(), 3, "weighted")
    with pytest.raises(InputError, match="expected"):
        ClassFidelity(RedValue(), 4).update(images_of(torch.tensor([0])), torch.tensor([0]))
    with pytest.raises(InputError, match="requested must hold"):
        class_confusion(torch.tensor([3]), torch.tensor([0]), 3)
