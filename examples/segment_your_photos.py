"""From a few annotated photos to masks of all the others.

    python examples/segment_your_photos.py                                    # on toy images that it makes itself
    python examples/segment_your_photos.py MY_DATA MY_PHOTOS --checkpoint NETWORK -o masks

MY_DATA holds images/ and masks/ with equal names; NETWORK is what `frugalseg pretrain ddpm` wrote, or any diffusion
model in diffusers' layout. The masks come as indexed PNG files, with the same laid over the photos for a look.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from frugalseg import SegmentationFolder, Segmenter, load_backbone
from frugalseg.data.image_folder import list_images
from frugalseg.data.images import read_image
from frugalseg.data.masks import write_mask
from frugalseg.data.toy.dataset import write_toy_folder
from frugalseg.report.pictures import overlay
from frugalseg.support.files import atomic_path


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    data, photos = options.data, options.photos
    if data is not None and photos is None:
        parser().error("give the photos to segment, too")
    if data is None:
        data, photos = options.out / "toy_data", options.out / "toy_photos"
        write_toy_folder(data, count=12, seed=1)
        write_toy_folder(photos, count=8, seed=2, masks=False)

    backbone = load_backbone("ddpm", options.checkpoint)
    model = Segmenter(backbone, members=options.members).fit(SegmentationFolder(data))
    model.save_pretrained(options.out / "model")

    paths = list_images(photos)
    images = (read_image(path) for path in paths)
    for path, found in zip(paths, model.predict(images), strict=True):
        write_mask(options.out / "masks" / f"{path.stem}.png", found.mask, model.classes)
        picture = overlay(read_image(path), model.classes.to_positions(found.mask), model.classes)
        with atomic_path(options.out / "overlays" / f"{path.stem}.png") as file:
            Image.fromarray(picture).save(file)
        print(f"{path.name}: uncertainty {found.image_uncertainty:.3f}")
    print(f"masks in {options.out / 'masks'}; annotate the most uncertain images next")


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(description="Masks for photos, learnt from a few annotated ones.")
    result.add_argument("data", type=Path, nargs="?", help="annotated images; toy images without it")
    result.add_argument("photos", type=Path, nargs="?", help="images to segment")
    result.add_argument("--checkpoint", default="builtin:toy_ddpm", help="the diffusion model")
    result.add_argument("--members", type=int, default=5, help="classifiers in the ensemble")
    result.add_argument("-o", "--out", type=Path, default=Path("segmented"), help="folder for everything written")
    return result


if __name__ == "__main__":
    main()
