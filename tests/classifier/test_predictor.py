from __future__ import annotations

import csv
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import (
    CenterCrop,
    Compose,
    Lambda,
    Resize,
    TenCrop,
)
from torchvision.transforms.functional import normalize, pil_to_tensor

from classifier.basics.errors import UserError
from classifier.data.images import open_file
from classifier.data.pixels import Pixels
from classifier.data.sides import random_side
from classifier.data.transforms import Normalize
from classifier.inference import cam, predict, predictions
from classifier.inference.evaluate import Inference, ten_crop_logits
from classifier.models import checkpoint, trunks
from classifier.models.network import Network, build

SIZE = 32
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.3, 0.25]
CLASSES = ("a b", "c & d", "Ünï", "x\ny", 'q"', "p|q", "中文", "_u_", "$", "r\rr")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a random mobilenetv2 whose batch norms have seen something."""
    network = build("mobilenetv2", len(CLASSES), seed=3).train()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(20):
            network(torch.randn(8, 3, SIZE, SIZE, generator=draw))
    path = tmp_path_factory.mktemp("checkpoint") / "best.safetensors"
    meta = checkpoint.Meta("mobilenetv2", CLASSES, SIZE, MEAN, STD)
    checkpoint.save(path, checkpoint.to_half(network.state_dict()), meta)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five images of several sizes, one broken, one file that is no image."""
    root = tmp_path / "photos & Фото"
    (root / "sub\nfolder").mkdir(parents=True)
    for name, size in {
        "a b.png": (50, 40), "sub\nfolder/ä.PNG": (33, 71), "c&d.png": (32, 32), "tiny.png": (9, 5),
        "[1].png": (64, 35),
    }.items():  # fmt: skip
        random_image(size, seed=size[0]).save(root / name)
    whole = (root / "a b.png").read_bytes()
    (root / "broken.png").write_bytes(whole[: len(whole) // 2])
    (root / "notes.txt").write_text("no image")
    return root


def random_image(size: tuple[int, int], seed: int) -> Image.Image:
    draw = np.random.default_rng(seed)
    return Image.fromarray(draw.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def plain_scores(file: Path, image: Image.Image, *, tta: bool) -> Tensor:
    """As one would write it for a single image."""
    network, _ = checkpoint.load(file)
    side = int(1.1 * SIZE) if tta else SIZE
    crops = Lambda(lambda whole: TenCrop(SIZE)(whole) if tta else [CenterCrop(SIZE)(whole)])
    batch = [
        normalize(pil_to_tensor(crop).float() / 255, MEAN, STD)
        for crop in Compose([Resize(side), crops])(image)
    ]
    with torch.no_grad():
        logits: Tensor = network(torch.stack(batch))
        return logits.mean(dim=0).softmax(dim=0)


@pytest.mark.parametrize("tta", [False, True])
def test_a_folder_is_predicted_as_one_would_by_hand(file: Path, folder: Path, tta: bool) -> None:
    seen: list[tuple[int, int]] = []
    found = predict.predict(
        file,
        [folder],
        predict.Options(top_k=3, tta=tta, batch_size=2),
        progress=lambda *now: seen.append(now),
    )
    names = [str(Path(answer.path).relative_to(folder)) for answer in found.answers]
    assert names == ["[1].png", "a b.png", "c&d.png", "tiny.png", "sub\nfolder/ä.PNG"]
    assert [Path(failure.path).name for failure in found.failures] == ["broken.png"]
    assert "broken.png can't be read as an image" in found.failures[0].reason
    assert seen == [(2, 6), (4, 6), (6, 6)]
    for answer in found.answers:
        with Image.open(answer.path) as image:
            expected = plain_scores(file, image, tta=tta).topk(3)
        assert answer.classes == tuple(CLASSES[k] for k in expected.indices)
        assert answer.scores == pytest.approx(expected.values.tolist(), abs=1e-5)


def test_fp16_is_near(file: Path, folder: Path) -> None:
    paths = [folder / "a b.png", folder / "c&d.png"]
    half = predict.predict(file, paths, predict.Options(precision="fp16", top_k=99))
    full = predict.predict(file, paths, predict.Options(top_k=99))
    for one, other in zip(half.answers, full.answers, strict=True):
        by_name = dict(zip(other.classes, other.scores, strict=True))
        assert len(one.classes) == len(CLASSES)
        assert one.scores == pytest.approx([by_name[name] for name in one.classes], abs=0.02)
        assert one.scores != other.scores


def test_ten_crops_of_the_cache_equal_torchvisions(tmp_path: Path, file: Path) -> None:
    """Odd differences too, where the centre crop of a mirror image is not the mirror of one."""
    side = random_side(SIZE)
    assert side == 35
    images = [random_image(size, seed=size[0]) for size in ((35, 35), (48, 35), (35, 90), (40, 35))]
    arrays = [np.asarray(image) for image in images]
    (tmp_path / "pixels.u8").write_bytes(b"".join(array.tobytes() for array in arrays))
    np.save(tmp_path / "shapes.npy", np.array([array.shape[:2] for array in arrays]))
    network, meta = checkpoint.load(file)
    inference = Inference(network, Normalize(meta.mean, meta.std, CPU), CPU)
    logits = ten_crop_logits(inference, Pixels(tmp_path), SIZE, 3)
    expected = torch.stack([plain_scores(file, image, tta=True) for image in images])
    assert torch.allclose(logits.softmax(dim=1), expected, atol=1e-5)


def test_a_rotated_photo_is_put_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    random_image((40, 20), 0).save(tmp_path / "a.png", exif=exif)
    assert open_file(tmp_path / "a.png").size == (20, 40)


def test_files_folders_and_globs(folder: Path) -> None:
    names = [path.name for path in predict.find([f"{folder}/*"])]
    assert names == ["[1].png", "a b.png", "broken.png", "c&d.png", "ä.PNG", "tiny.png"]
    assert [p.name for p in predict.find([f"{folder}/**/*.PNG"])] == ["ä.PNG"]
    assert [p.name for p in predict.find([folder / "[1].png"])] == ["[1].png"]
    assert len(predict.find([folder, folder / "a b.png", f"{folder}/a*"])) == 6
    assert [p.name for p in predict.find([folder / "notes.txt"])] == ["notes.txt"]


def test_a_source_without_images_is_named(folder: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.png is no file, no folder and no glob"):
        predict.find([folder, "nowhere.png"])
    with pytest.raises(UserError, match="a source is empty"):
        predict.find([""])
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match="empty holds no image"):
        predict.find([folder / "empty"])


@pytest.mark.parametrize("cut", range(6))
def test_broken_files_of_any_kind_are_user_errors(tmp_path: Path, cut: int) -> None:
    draw = np.random.default_rng(cut)
    for suffix in ("png", "jpg", "gif", "bmp", "tif", "webp"):
        path = tmp_path / f"x.{suffix}"
        random_image((20, 20), 0).save(path)
        content = bytearray(path.read_bytes())
        for place in draw.integers(0, len(content), 30):
            content[place] = int(draw.integers(256))
        path.write_bytes(bytes(content[: len(content) * (cut + 1) // 6]))
        try:
            open_file(path)
        except UserError as error:
            assert path.name in str(error)


def test_csv_json_and_terminal_give_every_name(tmp_path: Path, file: Path, folder: Path) -> None:
    odd = os.fsdecode(b"\xff.png")
    (folder / "c&d.png").rename(folder / odd)
    found = predict.predict(file, [folder], predict.Options(top_k=10))
    predictions.save_csv(tmp_path / "p.csv", found)
    with (tmp_path / "p.csv").open(newline="", errors="surrogateescape") as opened:
        rows = list(csv.DictReader(opened))
    assert list(rows[0]) == ["path", "rank", "class", "score"]
    assert len(rows) == 5 * 10
    expected = [(a.path, name) for a in found.answers for name in a.classes]
    assert [(row["path"], row["class"]) for row in rows] == expected
    assert {row["class"] for row in rows} == set(CLASSES)
    assert str(folder / odd) in {row["path"] for row in rows}

    predictions.save_json(tmp_path / "p.json", found)
    content = json.loads((tmp_path / "p.json").read_bytes())
    assert [entry["path"] for entry in content["predictions"]] == [a.path for a in found.answers]
    top = content["predictions"][0]["top"]
    assert tuple(entry["class"] for entry in top) == found.answers[0].classes
    assert [entry["rank"] for entry in top] == list(range(1, 11))
    assert [entry["path"] for entry in content["failed"]] == [str(folder / "broken.png")]

    shown = list(predictions.lines(found))
    assert len(shown) == 6 and shown[-1].startswith("failed: ")
    assert all(line.isprintable() for line in shown)
    "\n".join(shown).encode()


SLOW = {"ScoreCAM", "AblationCAM"}
"""They run the network once for each channel: tried on the smallest network, below."""


@pytest.mark.parametrize("method", sorted(set(cam.METHODS) - SLOW))
def test_activation_maps(tmp_path: Path, file: Path, method: str) -> None:
    pytest.importorskip("pytorch_grad_cam")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        random_image((48, 40), 1).save(tmp_path / name / "x.png")
    found = predict.predict(
        file,
        [tmp_path / "a", tmp_path / "b"],
        predict.Options(cam=cam.Cam(tmp_path / "maps", method)),
    )
    assert not found.failures
    files = [answer.cam for answer in found.answers]
    assert files == [tmp_path / "maps" / "00000-x.png", tmp_path / "maps" / "00001-x.png"]
    for path in files:
        assert path is not None
        with Image.open(path) as image:
            assert (image.mode, image.size) == ("RGB", (SIZE, SIZE))
            assert np.asarray(image).std() > 0


@pytest.mark.parametrize("method", ["GradCAM", *sorted(SLOW)])
def test_a_map_shows_where(method: str) -> None:
    """A network that answers by the upper left corner's red."""
    pytest.importorskip("pytorch_grad_cam")

    class Trunk(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 1, bias=False)
            self.pool = nn.AdaptiveAvgPool2d(1)
            with torch.no_grad():
                self.conv.weight.copy_(torch.eye(3)[:2].view(2, 3, 1, 1))

        def forward(self, images: Tensor) -> Tensor:
            pooled: Tensor = self.pool(self.conv(images)).flatten(1)
            return pooled

    network = Network(trunks.Trunk(Trunk(), 2), 2).eval()
    linear = network.head[1]
    assert isinstance(linear, nn.Linear)
    with torch.no_grad():
        linear.weight.copy_(torch.eye(2))
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:8, :8, 0] = 255
    mapper = cam.Mapper(network, method, 16, Normalize([0.0] * 3, [1.0] * 3, CPU))
    overlay = np.asarray(mapper.overlay(pixels, 0)).astype(int)
    hot = overlay[..., 0] > overlay[..., 2]
    assert hot[:7, :7].all() and not hot[9:, 9:].any()


@pytest.mark.parametrize(
    "model", ["resnet50", "ghostnet", "RepVGG-A0", "densenet121", "swin_t", "vit_tiny_patch16_224"]
)
def test_any_model_has_a_layer_for_maps(model: str) -> None:
    size = 224 if "_t" in model else 64
    network = build(model, 3, seed=0).eval()
    layer, channels_last = cam._last_grid(network, size, CPU)
    shapes: list[torch.Size] = []
    layer.register_forward_hook(lambda _, __, output: shapes.append(output.shape))
    with torch.no_grad():
        network(torch.zeros(1, 3, size, size))
    _, *rest = shapes[0]
    height, width = rest[:2] if channels_last else rest[1:]
    assert height == width > 1
    assert "tiny" not in model or height == 14


def test_unknown_maps_and_a_missing_package_are_told_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="'gradcam\\+\\+'; did you mean 'GradCAM'"):
        predict.predict(tmp_path / "no", [], predict.Options(cam=cam.Cam(tmp_path, "gradcam++")))
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    with pytest.raises(UserError, match="pip install grad-cam"):
        predict.predict(tmp_path / "no", [], predict.Options(cam=cam.Cam(tmp_path, "EigenCAM")))
