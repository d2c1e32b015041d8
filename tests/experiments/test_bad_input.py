"""Every kind of bad input: exit code 2, one readable message with its place, nothing written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import runner
from classifier.models import catalogue

GOOD = """\
title: Test
data: {name: digits}
train: {lr: 1e-4, epochs: 3, augment: AutoAugment, image_size: 32}
matrix:
  model: [mobilenetv2, ghostnet]
  ema: [false, true]
tables:
  ema:
    rows: model
    columns:
      - {header: val, split: val, where: {ema: false}}
      - {header: val(ema), split: val, where: {ema: true}}
    baseline: {ema: false}
"""

# what is replaced, by what, and the message
CASES: dict[str, tuple[str, str, str]] = {
    "unknown key": ("epochs:", "epoch:", ":3: unknown setting 'epoch'; did you mean 'epochs'?"),
    "a key that stands inside another": ("lr: 1e-4", "lr: 1e-4, weight_decay: 0.1", ":3: unknown setting 'weight_decay'; did you mean 'optimizer.weight_decay'?"),
    "a key that stands inside two": ("lr: 1e-4", "lr: 1e-4, gamma: 2", ":3: unknown setting 'gamma'; did you mean 'loss.gamma' or 'schedule.gamma'?"),
    "a key that others have": ("ema: [false, true]", "mixup: [false, true]", ":6: unknown setting 'mixup'; did you mean 'mixing: mixup'?"),
    "a value that others have": ("lr: 1e-4", "lr: 1e-4, loss: ce", ":3: unknown loss 'ce'; did you mean 'cross_entropy'?"),
    "unknown key at the top": ("title:", "titel:", ":1: unknown setting 'titel'; did you mean 'title'?"),
    "unknown key of a column": ("split: val, where: {ema: true}", "splt: val", ":12: unknown setting 'splt'; did you mean 'split'?"),
    "unknown key of data": ("{name: digits}", "{nam: digits}", ":2: unknown setting 'nam'; did you mean 'name'?"),
    "a training setting at the top": ("title: Test", "title: Test\nepochs: 5", ":2: unknown setting 'epochs'; did you mean 'train.epochs'?"),
    "missing key": ("title: Test\n", "", "m.yaml:1: 'title' is missing"),
    "wrong type": ("epochs: 3", "epochs: many", ":3: 'epochs' must be an integer, not 'many'"),
    "a number in quotes": ("epochs: 3", "epochs: '3'", ":3: 'epochs' must be an integer, not '3'"),
    "out of range": ("epochs: 3", "epochs: 0", ":3: 'epochs' must be greater than or equal to 1, not '0'"),
    "not a number": ("lr: 1e-4", "lr: .nan", ":3: 'lr' must be a finite number, not 'NaN'"),
    "unknown model": ("ghostnet", "ghostnett", ":5: unknown model 'ghostnett'; did you mean 'ghostnet'?"),
    "weights behind a dot": ("ghostnet", "ghostnet_100.in1k", ":5: model 'ghostnet_100.in1k' names weights behind its dot: write model 'ghostnet_100' with 'pretrained: in1k'"),
    "timm's weights of a network that is torchvision's": ("ghostnet", "resnet50.a1_in1k", ":5: model 'resnet50.a1_in1k' names weights behind its dot: write 'hf-hub:timm/resnet50.a1_in1k'"),
    "a network without pooling": ("ghostnet", "qwen3_vit_88m_enc", ":5: model 'qwen3_vit_88m_enc' can't be used: timm's Qwen3VitEncoder gives features of each place, and no row of them for an image"),
    "a size between a transformer's": ("image_size: 32}\nmatrix:\n  model: [mobilenetv2", "image_size: 40}\nmatrix:\n  model: [vit_b_16", ":3: model 'vit_b_16' takes no images of 40 x 40: multiples of 16 from 16 on"),
    "a size of another network": ("mobilenetv2", "efficientformer_l1", ":3: model 'efficientformer_l1' takes no images of 32 x 32: 224 only"),
    "images that are too small": ("mobilenetv2", "inception_v3", ":3: model 'inception_v3' takes no images of 32 x 32: any from 75 on"),
    "a size on an axis": ("mobilenetv2, ghostnet]", "mobilenetv2, alexnet]\n  image_size: [64, 32]", ":6: model 'alexnet' takes no images of 32 x 32: any from 63 on"),
    "nothing in the trunk to drop": ("epochs: 3", "drop_rate: 0.1", ":3: model 'mobilenetv2' has no 'drop_rate': all that it drops is in front of its head, which is the setting 'dropout'"),
    "no paths to drop": ("epochs: 3", "drop_path_rate: 0.1", ":3: model 'mobilenetv2' has no 'drop_path_rate': it has no paths to drop"),
    "no order of layers": ("epochs: 3", "layer_decay: 0.7", ":3: model 'mobilenetv2' has no 'layer_decay': torchvision does not say in which order its layers are"),
    "all is dropped": ("epochs: 3", "drop_path_rate: 1.0", ":3: 'drop_path_rate' must be less than 1, not '1.0'"),
    "a negative dropout": ("epochs: 3", "dropout: -0.1", ":3: 'dropout' must be greater than or equal to 0, not '-0.1'"),
    "a rate that is a switch": ("epochs: 3", "drop_rate: true", ":3: 'drop_rate' must be a number, not 'true'"),
    "an unknown part to freeze": ("epochs: 3", "freeze: head", ":3: unknown freeze 'head'; it can be trunk"),
    "layers that decay to nothing": ("epochs: 3", "layer_decay: 0", ":3: 'layer_decay' must be greater than 0, not '0'"),
    "a layer's rate above the next one's": ("epochs: 3", "layer_decay: 1.5", ":3: 'layer_decay' must be less than or equal to 1, not '1.5'"),
    "layers that decay, and what does": ("epochs: 3", "layer_decay: 0.7, optimizer: {name: adamw, decay_on: all}", ":3: 'layer_decay' groups weights by layers, with no decay on biases and norm layers: leave it or the optimizer's 'decay_on' out"),
    "a size that it is not built for": ("image_size: 32}\nmatrix:\n  model: [mobilenetv2", "image_size: 32, eval_size: 64}\nmatrix:\n  model: [vit_b_16", ":3: model 'vit_b_16' is built for its training's 32 x 32 and takes no images of 64 x 64: leave 'eval_size' out"),
    "a frozen trunk with layers": ("epochs: 3", "freeze: trunk, layer_decay: 0.7", ":3: 'layer_decay' does nothing where 'freeze: trunk' is; leave one out"),
    "a frozen trunk that drops": ("epochs: 3", "freeze: trunk, drop_rate: 0.1", ":3: 'drop_rate' does nothing where 'freeze: trunk' is; leave one out"),
    "a hub's name without an owner": ("ghostnet", "'hf-hub:resnet18'", ":5: model 'hf-hub:resnet18' is no name on the hub: write hf-hub:OWNER/NAME"),
    "a name without its source": ("ghostnet", "timm/resnet18", ":5: unknown model 'timm/resnet18'"),
    "unknown data set": ("name: digits", "name: digit", ":2: unknown data 'digit'; did you mean 'digits'?"),
    "unknown metric": ("header: val, split: val", "header: val, metric: acuracy", ":11: unknown metric 'acuracy'; did you mean 'accuracy'?"),
    "unknown augmentation": ("AutoAugment", "AutoAugmnt", ":3: unknown augment 'AutoAugmnt'; did you mean 'AutoAugment'?"),
    "an infinite number": ("lr: 1e-4", "lr: 1e-4, optimizer: {weight_decay: .inf}", ":3: 'weight_decay' must be a finite number, not 'Infinity'"),
    "a tag that does not fit": ("epochs: 3", "epochs: !!int ''", ":3: not a !!int: ''"),
    "a truth that is none": ("epochs: 3", "amp: !!bool foo", ":3: not a !!bool: 'foo'"),
    "a merged key that is no text": ("train: {lr", "train: {<<: {? [a] : b}, lr", ":3: a key must be text"),
    "a deep nest": ("title: Test", "title: " + "[" * 3000, "too deeply nested"),
    "a number of 400 digits": ("epochs: 3", "epochs: " + "9" * 400, ":3: 'epochs' must be less than or equal to 1000000000, not '9999"),
    "a side of 200 digits": ("image_size: 32", "image_size: 1" + "0" * 200, ":3: 'image_size' must be less than or equal to 10000"),
    "a long table name": ("  ema:\n    rows", f"  {'e' * 260}:\n    rows", "can't be a table's name"),
    "an axis inside an axis": ("  ema: [false, true]", "  ema: [false, true]\n  ema.decay: [0.9, 0.99]", ":7: 'ema.decay' is a part of 'ema', which is set as well; set one"),
    "a row without a condition": ("rows: model", "rows: [{name: x}]", ":9: 'where' is missing"),
    "unknown transform": ("augment: AutoAugment", "albumentations: [HorizontalFlp]", ":3: albumentations has no 'HorizontalFlp'; did you mean 'HorizontalFlip'?"),
    "unknown argument of a transform": ("augment: AutoAugment", "albumentations: [OneOf: {transforms: [Rotate: {limits: 9}]}]", ":3: albumentations' Rotate takes no 'limits'; did you mean 'limit'?"),
    "an argument that no record holds": ("augment: AutoAugment", "albumentations: [Rotate: {limit: .inf}]", ":3: an argument must be a finite number, text, true, false, or a list or mapping of these"),
    "albumentations beside a policy": ("augment: AutoAugment", "augment: AutoAugment, albumentations: [HorizontalFlip]", "'albumentations' stand in place of 'augment'; leave one out"),
    "weights that are not there": ("lr: 1e-4", "lr: 1e-4, weights: none.pth", ":3: data/none.pth is not there"),
    "weights on an axis": ("  ema: [false, true]", "  ema: [false, true]\n  weights: [false, none.pth]", ":7: data/none.pth is not there"),
    "weights of an unknown kind": ("lr: 1e-4", "lr: 1e-4, weights: w.bin", ":3: data/w.bin is of no kind that is known here: .safetensors, .pth, .pt"),
    "weights outside": ("lr: 1e-4", "lr: 1e-4, weights: ../w.pth", ":3: a file that lies under the data root data (links followed) is expected, not \"../w.pth\""),
    "weights anywhere": ("lr: 1e-4", "lr: 1e-4, weights: /tmp/w.pth", ":3: a file that lies under the data root data (links followed) is expected, not \"/tmp/w.pth\""),
    "weights with a NUL": ("lr: 1e-4", 'lr: 1e-4, weights: "\\0.pth"', ":3: a file that lies under the data root data (links followed) is expected"),
    "weights that are no path": ("lr: 1e-4", "lr: 1e-4, weights: true", ":3: a file that lies under the data root data (links followed) is expected, not true"),
    "unknown optimiser": ("lr: 1e-4", "lr: 1e-4, optimizer: lamp", ":3: unknown optimizer 'lamp'; did you mean 'lamb'?"),
    "another optimiser's option": ("lr: 1e-4", "lr: 1e-4, optimizer: {name: sgd, beta1: 0.9}", ":3: unknown setting 'beta1'; it can be name, momentum, nesterov, weight_decay, decay_on"),
    "an argument that no library's optimiser has": ("lr: 1e-4", "lr: 1e-4, optimizer: {name: lamb, beta1: 0.9}", ":3: optimizer 'lamb' takes no 'beta1'; did you mean 'betas'?"),
    "an argument on an axis that no optimiser has": ("  ema: [false, true]", "  ema: [false, true]\n  optimizer: [adamw, {name: NAdam, nesterov: true}]", ":7: optimizer 'NAdam' takes no 'nesterov'"),
    "a decay that an optimiser lacks": ("lr: 1e-4", "lr: 1e-4, optimizer: {name: Rprop, weight_decay: 0.1}", ":3: optimizer 'Rprop' takes no 'weight_decay'"),
    "a decay on what is no group": ("lr: 1e-4", "lr: 1e-4, optimizer: {decay_on: biases}", ":3: unknown decay_on 'biases'; it can be weights, all_but_norms, all"),
    "an optimiser that needs a closure": ("lr: 1e-4", "lr: 1e-4, optimizer: LBFGS", ":3: unknown optimizer 'LBFGS'"),
    "a warm-up of two lengths": ("lr: 1e-4", "lr: 1e-4, warmup: {ratio: 0.1, epochs: 2}", ":3: 'epochs' of 'warmup' stand in place of its 'ratio'; leave one out"),
    "a warm-up of no epochs": ("lr: 1e-4", "lr: 1e-4, warmup: {epochs: 0}", ":3: 'epochs' must be greater than or equal to 1, not '0'"),
    "a schedule by image": ("lr: 1e-4", "lr: 1e-4, schedule: {name: half_cosine, by: image}", ":3: unknown by 'image'; it can be step, epoch"),
    "a schedule that rises": ("lr: 1e-4", "lr: 1e-4, schedule: {name: step, gamma: 2}", ":3: 'gamma' must be less than or equal to 1, not '2'"),
    "another schedule's option": ("lr: 1e-4", "lr: 1e-4, schedule: {name: poly, gamma: 0.5}", ":3: unknown setting 'gamma'; it can be name, power, min_lr, by"),
    "an unknown schedule": ("lr: 1e-4", "lr: 1e-4, schedule: half_cosin", ":3: unknown schedule 'half_cosin'; did you mean 'half_cosine'?"),
    "a crop of an unknown kind": ("lr: 1e-4", "lr: 1e-4, crop: random_resize", ":3: unknown crop 'random_resize'; did you mean 'random_resized'?"),
    "a crop of more than the image": ("lr: 1e-4", "lr: 1e-4, crop: {scale: [0.5, 2.0]}", ":3: 'scale' is a share of the image, and 2.0 is more than it"),
    "a crop of an empty range": ("lr: 1e-4", "lr: 1e-4, crop: {ratio: [2.0, 0.5]}", ":3: a range from 2.0 to 0.5 is empty"),
    "a flip beyond certainty": ("lr: 1e-4", "lr: 1e-4, hflip: 1.5", ":3: 'hflip' must be less than or equal to 1, not '1.5'"),
    "an unknown sampler": ("lr: 1e-4", "lr: 1e-4, sampler: balance", ":3: unknown sampler 'balance'; did you mean 'balanced'?"),
    "images repeated never": ("lr: 1e-4", "lr: 1e-4, repeats: 0", ":3: 'repeats' must be greater than or equal to 1, not '0'"),
    "an evaluation of more than the image": ("lr: 1e-4", "lr: 1e-4, eval_crop: 1.1", ":3: 'eval_crop' must be less than or equal to 1, not '1.1'"),
    "an evaluation of no size": ("lr: 1e-4", "lr: 1e-4, eval_size: 4", ":3: 'eval_size' must be greater than or equal to 8, not '4'"),
    "a magnitude beyond its bins": ("augment: AutoAugment", "augment: {name: RandAugment, magnitude: 31}", ":3: 'magnitude' 31 must be below the 31 of 'num_magnitude_bins'"),
    "an unknown policy with settings": ("augment: AutoAugment", "augment: {name: RandAugmnt, magnitude: 3}", ":3: unknown augment 'RandAugmnt'; did you mean 'RandAugment'?"),
    "another policy's setting": ("augment: AutoAugment", "augment: {name: TrivialAugmentWide, magnitude: 3}", ":3: unknown setting 'magnitude'; did you mean 'num_magnitude_bins'?"),
    "a policy without a name": ("augment: AutoAugment", "augment: {magnitude: 3}", ":3: 'augment' with settings needs a 'name'"),
    "a policy that timm lacks": ("augment: AutoAugment", "augment: {name: timm, policy: rand-m9-x1}", ":3: 'rand-m9-x1' is no RandAugment of timm's"),
    "erasing beyond the image": ("lr: 1e-4", "lr: 1e-4, erasing: {scale: [0.1, 1.5]}", ":3: 'scale' is a share of the image, and 1.5 is more than it"),
    "erasing with a colour": ("lr: 1e-4", "lr: 1e-4, erasing: {value: red}", ":3: unknown value 'red'; it can be mean, noise"),
    "turns of one": ("lr: 1e-4", "lr: 1e-4, mixing: {name: mixup, switch: 0.2}", ":3: 'switch' is for mixing 'mixup_or_cutmix', and this is 'mixup'"),
    "a threshold of all": ("lr: 1e-4", "lr: 1e-4, loss: {name: bce, target_threshold: 1.0}", ":3: 'target_threshold' must be less than 1, not '1.0'"),
    "an unknown amp": ("lr: 1e-4", "lr: 1e-4, amp: bfloat", ":3: 'amp' must be true, false or bfloat16, not 'bfloat'"),
    "compiled by a word": ("lr: 1e-4", "lr: 1e-4, compile: inductor", ":3: 'compile' must be a boolean, not 'inductor'"),
    "an unknown recipe": ("lr: 1e-4", "lr: 1e-4, recipe: a4", ":3: unknown recipe 'a4'; it can be a1, a2, a3, torchvision"),
    "a recipe that is a list": ("lr: 1e-4", "lr: 1e-4, recipe: [a1]", ":3: unknown recipe '[\"a1\"]'"),
    "an unknown recipe on an axis": ("  ema: [false, true]", "  ema: [false, true]\n  recipe: [false, a5]", ":7: unknown recipe 'a5'"),
    "a recipe with a wrong part": ("lr: 1e-4", "lr: 1e-4, recipe: a1, optimizer: {beta1: 0.9}", ":3: optimizer 'lamb' takes no 'beta1'"),
    "a recipe beside what goes not with it": ("lr: 1e-4, epochs: 3, augment: AutoAugment", "lr: 1e-4, recipe: a1, albumentations: [HorizontalFlip]", ":3: 'albumentations' stand in place of 'augment'; leave one out"),
    "a recipe's name among the settings": ("lr: 1e-4", "lr: 1e-4, recipes: a1", ":3: unknown setting 'recipes'"),
    "gradients clipped to nothing": ("lr: 1e-4", "lr: 1e-4, clip_grad: 0", ":3: 'clip_grad' must be greater than 0, not '0'"),
    "gradients clipped by a word": ("lr: 1e-4", "lr: 1e-4, clip_grad: true", ":3: 'clip_grad' must be a number, not 'true'"),
    "a schedule that validation steers": ("lr: 1e-4", "lr: 1e-4, schedule: ReduceLROnPlateau", ":3: unknown schedule 'ReduceLROnPlateau'"),
    "a number with a zero before it": ("epochs: 3", "epochs: 010", ":3: YAML reads 010 as 8; write 10, or '010' in quotes if it is text"),
    "a number with a sign and a zero": ("lr: 1e-4", "lr: -010", ":3: YAML reads -010 as -8; write -10, or '-010' in quotes if it is text"),
    "a number with colons and a point": ("lr: 1e-4", "lr: 1:30.5", ":3: YAML reads 1:30.5 as 90.5; write '1:30.5' in quotes if it is text"),
    "a tag before what is no number": ("epochs: 3", "epochs: !!int _:1", ":3: not a !!int: '_:1'"),
    "zeros and sevens without end": ("epochs: 3", "epochs: 0" + "7" * 6000, ":3: not a !!int: '0777"),
    "a number with colons": ("epochs: 3", "epochs: 1:30", ":3: YAML reads 1:30 as 90; write '1:30' in quotes if it is text"),
    "a row's name that is a number": ("rows: model", "rows: [{name: 1, where: {model: ghostnet}}]", ":9: 'name' must be text: write '1', in quotes"),
    "rows that are a number": ("rows: model", "rows: 1", ":9: 'rows' must be a list, not '1'"),
    "key given twice": ("lr: 1e-4", "lr: 1e-3, lr: 1e-4", ":3: 'lr' is given twice, first in line 3"),
    "axis value of the wrong type": ("[false, true]", "[false, maybe]", ":6: 'ema' must be true, false or a mapping of its settings, not 'maybe'"),
    "axis that is no setting": ("ema: [false, true]", "emma: [false, true]", ":6: unknown setting 'emma'; did you mean 'ema'?"),
    "table selects nothing": ("  ema: [false, true]", "  ema: [false, true]\n  exclude: [{model: ghostnet, ema: true}]", ":13: row 'ghostnet' of column 'val(ema)' selects nothing"),
    "table selects too much": ("where: {ema: true}}", "where: {}}", ":12: row 'mobilenetv2' of column 'val(ema)' selects 2 values, which differ in ema; choose one with 'where'"),
    "where names no axis": ("where: {ema: true}", "where: {em: true}", ":12: 'em' is not an axis of this matrix; did you mean 'ema'?"),
    "where names no value": ("where: {ema: true}", "where: {ema: 1}", ":12: axis 'ema' has no value 1; it has false, true"),
    "rows are no axis": ("rows: model", "rows: modle", ":9: 'modle' is not an axis of this matrix; did you mean 'model'?"),
    "duplicate headers": ("header: val(ema)", "header: val", ":12: the header 'val' is given twice"),
    "a header that breaks the table": ("header: val(ema)", "header: 'a|b'", ":12: 'header' "),
    "empty axis": ("[false, true]", "[]", ":6: axis 'ema' is empty; give it a value"),
    "no axes": ("  model: [mobilenetv2, ghostnet]\n  ema: [false, true]\n", "  {}\n", ":4: the matrix has no axis"),
    "axis that is no list": ("[false, true]", "true", ":6: axis 'ema' must be a list of values"),
    "axis value twice": ("[false, true]", "[true, true]", ":6: axis 'ema' has a value twice"),
    "no tables": (GOOD[GOOD.index("tables:"):], "tables: {}\n", ":7: 'tables' is empty"),
    "column without split": ("header: val, split: val", "header: val", ":11: a column needs 'split' (train, val or test), or 'stage: train'"),
    "speed with a split": ("header: val, split: val", "header: val, metric: fps, split: val", ":11: metric 'fps' takes no split, stage, data or tta"),
    "no baseline column": ("where: {ema: false}}", "where: {ema: true}}", ":13: no cell shows the baseline beside another arm"),
    "include that is not whole": ("  ema: [false, true]", "  ema: [false, true]\n  include: [{model: resnet50}]", ":7: include needs every axis; 'ema' is missing"),
    "exclude that excludes nothing": ("  ema: [false, true]", "  ema: [false, true]\n  exclude: [{model: ghostnet, ema: true}, {model: ghostnet, ema: true}]", ":7: it excludes nothing"),
    "a billion arms": ("  ema: [false, true]", "  ema: [false, true]\n" + "".join(f"  a{i}: {list(range(10))}\n" for i in range(9)), ":4: the matrix has 4,000,000,000 arms, more than 100,000"),
    "seed among the settings": ("lr: 1e-4", "lr: 1e-4, seed: 1", ":3: 'seed' is no training setting; give it at the top, as 'seeds'"),
    "a number without end": ("lr: 1e-4", f"lr: 0x{'f' * 9999}", ":3: not a !!int: '0xfff"),
    "a name without end": ("name: digits", f"folder: {'a' * 5000}", ":2: "),
    "a name of too many bytes": ("name: digits", f"folder: {'鳥' * 86}", ":2: 'folder' has 258 bytes, more than the 255 of a file's name"),
    "weights of too long a name": ("lr: 1e-4", f"lr: 1e-4, weights: {'鳥' * 86}.pth", ":3: data/鳥鳥"),
    "published with too long a name": ("baseline: {ema: false}", f"published: {'p' * 256}.csv", ":13: the published figures can't be read"),
    "no run": (GOOD[GOOD.index("matrix:") : GOOD.index("tables:")], "runs: {}\n", ":4: 'runs' is empty"),
    "no model": ("  model: [mobilenetv2, ghostnet]\n", "", ":3: no 'model': set it in train, or as an axis"),
    "matrix and runs": ("tables:", "runs: {a: {model: ghostnet}}\ntables:", "m.yaml:1: a matrix has either 'matrix' (axes) or 'runs', and not both"),
    "an unknown column to go against": ("split: val, where: {ema: true}", "split: val, where: {ema: true}, against: vall", ":12: no other column has the header 'vall'; did you mean 'val'?"),
    "a column against itself": ("header: val,", "header: val, against: val,", ":11: no other column has the header 'val'; it can be val(ema)"),
    "a column against another measure": ("    baseline: {ema: false}", "      - {header: m, split: val, metric: mpa, where: {ema: true}, against: val}", ":13: 'val' is accuracy, and this is mpa"),
    "a stage without predictions": ("header: val, split: val", "header: val, stage: train, metric: top5", ":11: stage 'train' keeps no predictions, which metric 'top5' takes; take 'split: val'"),
    "a cost with a split": ("header: val, split: val", "header: val, metric: parameters, split: val", ":11: metric 'parameters' is of the training: it takes no split, no precision, no tta, no stage and no batch_size"),
    "a cost with a precision": ("header: val, split: val", "header: val, metric: gflops, precision: fp16", ":11: metric 'gflops' is of the training: it takes no split, no precision"),
    "a cost with ten crops": ("header: val, split: val", "header: val, metric: train_seconds, tta: true", ":11: metric 'train_seconds' is of the training: it takes no split"),
    "a cost with a stage": ("header: val, split: val", "header: val, metric: images_seen, stage: train", ":11: metric 'images_seen' is of the training: it takes no split"),
    "a cost with a batch size": ("header: val, split: val", "header: val, metric: peak_memory_mib, batch_size: 8", ":11: metric 'peak_memory_mib' is of the training: it takes no split"),
    "a cost with a margin": ("header: val, split: val", "header: val, metric: checkpoint_mib, margin: 0.1", ":11: metric 'checkpoint_mib' gets no verdict, so it takes no margin"),
    "a cost of two arms": ("header: val, split: val, where: {ema: false}", "header: val, metric: parameters", ":11: row 'mobilenetv2' of column 'val' selects 2 values, which differ in ema; choose one with 'where'"),
    "an unknown cost": ("header: val, split: val", "header: val, metric: paramters", ":11: unknown metric 'paramters'; did you mean 'parameters'?"),
    "a cost against another without a difference": ("    baseline: {ema: false}", "      - {header: s, metric: train_seconds, where: {ema: false}}\n      - {header: s(ema), metric: train_seconds, where: {ema: true}, against: s}", ":14: metric 'train_seconds' gets no verdict, so 'against' is for 'show: difference'"),
    "no data": ("data: {name: digits}\n", "", "m.yaml:1: 'data' is missing"),
    "data among the settings": ("lr: 1e-4", "lr: 1e-4, data: digits", ":3: 'data' is no training setting; give it at the top, as 'data'"),
    "data at the top and as an axis": ("  ema: [false, true]", "  ema: [false, true]\n  data: [digits]", ":2: 'data' stands at the top and as an axis; leave one out"),
    "rows of data without the axis": ("rows: model", "rows: data", ":9: 'data' is not an axis of this matrix"),
    "an unknown data set on an axis": ("  ema: [false, true]", "  ema: [false, true]\n  data.name: [digits, digit]", ":7: unknown data 'digit'; did you mean 'digits'?"),
    "an unknown key of data on an axis": ("  ema: [false, true]", "  ema: [false, true]\n  data.splt_seed: [0, 1]", ":7: unknown setting 'splt_seed'; did you mean 'split_seed'?"),
    "a split seed below 0": ("  ema: [false, true]", "  ema: [false, true]\n  data.split_seed: [0, -1]", ":7: 'split_seed' must be greater than or equal to 0, not '-1'"),
    "a split seed twice": ("  ema: [false, true]", "  ema: [false, true]\n  data.split_seed: [1, 1]", ":7: axis 'data.split_seed' has a value twice"),
    "a split seed of a set with a val": ("{name: digits}", "{name: flowers102, split_seed: 1}", ":2: 'split_seed' draws a split, and split 'given' has its own"),
    "a split seed on an axis of a given split": (GOOD[GOOD.index("data:"):GOOD.index("tables")], "data: flowers102\ntrain: {model: ghostnet}\nmatrix:\n  ema: [false, true]\n  data.split_seed: [0, 1]\n", ":6: 'split_seed' draws a split, and split 'given' has its own"),
    "compared on other data": (GOOD[GOOD.index("  ema:"):], "  data.split_seed: [0, 1]\ntables:\n  t: {rows: model, columns: [{header: a, split: test, where: {data.split_seed: 0}}, {header: b, split: test, where: {data.split_seed: 1}, against: a}]}\n", ":8: 'b' would be compared between 'digits (split_seed 0)' and 'digits (split_seed 1)': other images give other figures"),
    "a baseline on other data": (GOOD[GOOD.index("  ema:"):], "  data.split_seed: [0, 1]\ntables:\n  t:\n    rows: data.split_seed\n    columns: [{header: a, split: test, where: {model: ghostnet}}]\n    baseline: {data.split_seed: 0}\n", ":10: 'a' would be compared between 'digits (split_seed 0)' and 'digits (split_seed 1)'"),
    "one fold": ("{name: digits}", "{name: digits, folds: 1}", ":2: 'folds' must be greater than or equal to 2, not '1'"),
    "too many folds": ("{name: digits}", "{name: digits, folds: 101}", ":2: 'folds' must be less than or equal to 100, not '101'"),
    "folds that are no number": ("{name: digits}", "{name: digits, folds: true}", ":2: 'folds' must be an integer, not 'true'"),
    "more folds than a class has images": ("{name: digits}", "\n  name: digits\n  limit: 6\n  folds: 7", ":5: digits: class '0' has 6 image(s), for 'limit' keeps 6, too few for 7 folds with one each in train, val and test (so have 9 more classes)"),
    "more folds on an axis than a class has images": ("  ema: [false, true]", "  ema: [false, true]\n  data.limit: [40, 6]\n  data.folds: [7]", ":8: digits: class '0' has 6 image(s), for 'limit' keeps 6, too few for 7 folds"),
    "folds of a given split": ("{name: digits}", "{folder: x, split: given, folds: 5}", ":2: 'folds' cut test parts, and split 'given' has its own"),
    "a fold alone": ("{name: digits}", "{name: digits, folds: 5, fold: 2}", ":2: unknown setting 'fold' of 'data'"),
    "folds on an axis against each other": (GOOD[GOOD.index("  ema:"):], "  data.folds: [2, 3]\ntables:\n  t:\n    rows: model\n    columns:\n      - {header: a, split: test, where: {data.folds: 2}}\n      - {header: b, split: test, where: {data.folds: 3}, against: a}\n", ":12: 'b' would be compared between 'digits (folds 2)' and 'digits (folds 3)'"),
    "folds tried on other data": (GOOD[GOOD.index("data:"):], "data: {name: digits, folds: 2}\ntrain: {model: ghostnet}\nmatrix: {ema: [false, true]}\ntables:\n  t:\n    rows: ema\n    columns: [{header: a, data: digits}]\n", ":8: 'data' of a column takes one network for each seed, and 'folds' give several; leave 'folds' out"),
    "folds of a column's data": ("header: val, split: val", "header: val, data: {folder: x, folds: 5}", ":11: 'folds': for data that are split; a column's are not"),
    "a frozen trunk to teach": (GOOD[GOOD.index("train:"):], "train: {model: ghostnet}\nruns:\n  big: {}\n  small: {freeze: trunk, distill: {method: at, teacher: big}}\ntables: {t: {rows: runs, columns: [{header: a, split: test}]}}\n", ":6: 'distill' by 'at' teaches the trunk, which 'freeze: trunk' leaves as it is; leave one out, or take 'soft_target'"),
    "a teacher of other folds": (GOOD[GOOD.index("train:"):], "train: {model: ghostnet}\nruns:\n  big: {data.folds: 2}\n  small: {distill: {method: at, teacher: big}}\ntables: {t: {rows: runs, columns: [{header: a, split: test}]}}\n", ":6: the teacher is trained on other data; a teacher needs those of its students"),
    "a billion folds": ("  ema: [false, true]", "  data.folds: [100]\nseeds: " + str(list(range(2001))), "with its folds the matrix has more than 200,000 trainings"),
    "digits below 0": ("header: val, split: val", "header: val, split: val, digits: -1", ":11: 'digits' must be greater than or equal to 0, not '-1'"),
    "digits above 10": ("header: val, split: val", "header: val, split: val, digits: 11", ":11: 'digits' must be less than or equal to 10, not '11'"),
    "digits that are no whole number": ("header: val, split: val", "header: val, split: val, digits: 2.5", ":11: 'digits' must be an integer, not '2.5'"),
    "digits of a table": ("    baseline: {ema: false}", "    baseline: {ema: false}\n    digits: -1", ":14: 'digits' must be greater than or equal to 0, not '-1'"),
    "percent of nll": ("header: val, split: val", "header: val, split: val, metric: nll, percent: true", ":11: metric 'nll' takes no percent: it is no share of images"),
    "percent of a speed": ("header: val, split: val", "header: val, metric: fps, percent: true", ":11: metric 'fps' takes no percent: it is no share of images"),
    "percent of a cost": ("header: val, split: val", "header: val, metric: parameters, percent: true", ":11: metric 'parameters' takes no percent: it is no share of images"),
    "percent that is a number": ("header: val, split: val", "header: val, split: val, percent: 100", ":11: 'percent' must be a boolean, not '100'"),
    "percent of a table without shares": (GOOD[GOOD.index("      - "):], "      - {header: fps, metric: fps}\n    percent: true\n", ":12: 'percent' is for shares of images, and no column of this table is one"),
    "an unknown spread": ("header: val, split: val", "header: val, split: val, spread: deviaton", ":11: unknown spread 'deviaton'; did you mean 'deviation'?"),
    "an unknown spread of a table": ("    baseline: {ema: false}", "    spread: foo", ":13: unknown spread 'foo'; it can be deviation, interval, none"),
    "a spread of a speed": ("header: val, split: val", "header: val, metric: fps, spread: deviation", ":11: metric 'fps' takes no spread: the seeds share one speed"),
    "an interval of a cost": ("header: val, split: val", "header: val, metric: train_seconds, spread: interval", ":11: metric 'train_seconds' has no interval; take 'spread: deviation'"),
    "a difference to nothing": ("split: val, where: {ema: true}}\n    baseline: {ema: false}", "split: val, where: {ema: true}, show: difference}", ":12: 'val(ema)' has no baseline to show a difference to: give it 'against', or a row or the table a 'baseline'"),
    "a difference of the baseline": ("header: val, split: val", "header: val, show: difference, split: val", ":11: 'val' has no baseline to show a difference to"),
    "an unknown thing to show": ("header: val, split: val", "header: val, show: differences, split: val", ":11: unknown show 'differences'; did you mean 'difference'?"),
    "all columns hidden": ("where: {ema: false}}\n      - {header: val(ema), split: val, where: {ema: true}}", "where: {ema: false}, hide: true}\n      - {header: val(ema), hide: true, split: val, where: {ema: true}}", ":10: every column is hidden, so nothing is shown"),
    "all rows hidden": ("rows: model", "rows: [{name: a, where: {model: ghostnet}, hide: true}]", ":9: every row is hidden, so nothing is shown"),
    "a hidden table": ("    baseline: {ema: false}", "    hide: true", ":13: unknown setting 'hide'"),
    "half hidden": ("header: val, split: val", "header: val, split: val, hide: half", ":11: 'hide' must be a boolean, not 'half'"),
    "a stage without what is predicted": ("header: val, split: val", "header: val, stage: train, metric: f1", ":11: stage 'train' keeps no predictions, which metric 'f1' takes; take 'split: val'"),
    "one class's accuracy against all's": ("    baseline: {ema: false}", "      - {header: w, split: val, metric: worst_class, where: {ema: true}, against: val}", ":13: 'val' is accuracy, and this is worst_class"),
    "a margin of nothing": ("    baseline: {ema: false}", "    baseline: {ema: false}\n    margin: 0", ":14: 'margin' must be greater than 0, not '0'"),
    "a margin of all": ("    baseline: {ema: false}", "    baseline: {ema: false}\n    margin: 1.5", ":14: 'margin' must be less than 1, not '1.5'"),
    "a speed with a margin": ("header: val, split: val, where: {ema: false}", "header: val, metric: fps, margin: 0.1", ":11: metric 'fps' takes no margin: it is for shares"),
    "an unknown row to go against": ("rows: model", "rows: [{name: a, where: {model: ghostnet}}, {name: b, where: {model: mobilenetv2}, baseline: c}]", ":9: no other row is named 'c'; it can be a"),
    "a row against itself": ("rows: model", "rows: [{name: a, where: {model: ghostnet}, baseline: a}]", ":9: no other row is named itself"),
    "published outside": ("baseline: {ema: false}", "published: ../../secret.csv", ":13: the published figures must lie beside the matrix"),
    "published missing": ("baseline: {ema: false}", "published: none.csv", ":13: the published figures can't be read"),
    "a table's name with a path": ("  ema:\n    rows", "  ../ema:\n    rows", ":8: '../ema' can't be a table's name"),
    "a folder that leaves the root": ("{name: digits}", "{folder: ../x}", ":2: 'folder' "),
    "two sources of data": ("{name: digits}", "{name: digits, folder: x}", ":2: data needs either 'name' (digits, cub200, ...), 'folder' or 'hf'"),
    "a published set as its paper writes it": ("name: digits", "name: CIFAR-10", ":2: unknown data 'CIFAR-10'; did you mean 'cifar10'?"),
    "a published set's name cut short": ("name: digits", "name: Flowers", ":2: unknown data 'Flowers'; did you mean 'flowers102'?"),
    "a published split split anew": ("{name: digits}", "{name: cifar10, split: strict}", ":2: cifar10 has a test part of its own, which is kept: leave out 'split'"),
    "a published split limited": ("{name: digits}", "{name: svhn, limit: 20}", ":2: 'limit' chooses images before the split; svhn has a test part of its own, which is kept: leave out 'limit'"),
    "a published split with duplicates together": ("{name: digits}", "{name: food101, duplicates: together}", ":2: duplicates 'together' chooses parts, which split 'given' has; take 'error'"),
    "a published set that has no split": ("{name: digits}", "{name: eurosat, split: given}", ":2: split 'given' is for a 'folder'; eurosat has no split of its own"),
    "labels of a published set": ("{name: digits}", "{name: dtd, labels: l.csv}", ":2: 'labels' are for a 'folder'; dtd has labels of its own"),
    "an option that a set does not take": ("{name: digits}", "{name: imagenette, size: 160}", ":2: unknown setting 'size'"),
    "a published set in a folder": ("{name: digits}", "{name: mnist, folder: mnist}", ":2: data needs either 'name' (digits, cub200, ...), 'folder' or 'hf'"),
    "other data of a published set split anew": ("header: val, split: val", "header: val, data: {name: mnist, split: sequential}", ":11: mnist has a test part of its own, which is kept: leave out 'split'"),
    "hf without an owner": ("{name: digits}", "{hf: beans}", ":2: 'hf' is OWNER/NAME, as ylecun/mnist, not 'beans'"),
    "hf that leads up": ("{name: digits}", "{hf: ../secret}", ":2: 'hf' is OWNER/NAME, as ylecun/mnist, not '../secret'"),
    "hf with an address": ("{name: digits}", "{hf: 'https://huggingface.co/a/b'}", ":2: 'hf' is OWNER/NAME"),
    "hf beside a name": ("{name: digits}", "{name: digits, hf: a/b}", ":2: data needs either 'name' (digits, cub200, ...), 'folder' or 'hf'"),
    "hf that is a number": ("{name: digits}", "{hf: 5}", ":2: 'hf' must be a mapping of its settings"),
    "hf without a name": ("{name: digits}", "{hf: {revision: main}}", ":2: 'name' is missing"),
    "an unknown key of hf": ("{name: digits}", "{hf: {name: a/b, revison: main}}", ":2: unknown setting 'revison'; did you mean 'revision'?"),
    "a revision that leads up": ("{name: digits}", "{hf: {name: a/b, revision: ../c}}", ":2: '../c' can't be a revision or config: letters, digits and . _ -"),
    "a revision that is a number": ("{name: digits}", "{hf: {name: a/b, revision: 1}}", ":2: 'revision' must be text: write '1', in quotes"),
    "hf with labels": ("{name: digits}", "{hf: a/b, labels: l.csv}", ":2: 'labels' are for a 'folder'; a/b has labels of its own"),
    "hf limited": ("{name: digits}", "{hf: a/b, limit: 9}", ":2: 'limit' chooses images before the split; a/b has a test part of its own, which is kept: leave out 'limit'"),
    "other data that are split": ("header: val, split: val", "header: val, split: val, data: digits", ":11: 'data' of a column is looked at as a whole (its test/ if its split is given): leave out split and stage"),
    "other data while training": ("header: val, split: val", "header: val, stage: train, data: digits", ":11: 'data' of a column is looked at as a whole"),
    "other data that nobody knows": ("header: val, split: val", "header: val, data: digit", ":11: unknown data 'digit'; did you mean 'digits'?"),
    "an unknown key of other data": ("header: val, split: val", "header: val, data: {folder: x, splt: given}", ":11: unknown setting 'splt'; did you mean 'split'?"),
    "other data of a speed": ("header: val, split: val", "header: val, metric: fps, data: digits", ":11: metric 'fps' takes no split, stage, data or tta"),
    "other data in one part": ("header: val, split: val", "header: val, data: {folder: x, duplicates: together}", ":11: 'duplicates': for data that are split; a column's are not"),
    "other data split": ("header: val, split: val", "header: val, data: {folder: x, split: sequential, group: a}", ":11: 'group' and 'split': for data that are split; a column's are not"),
    "other data drawn": ("header: val, split: val", "header: val, data: {folder: x, split_seed: 1}", ":11: 'split_seed': for data that are split; a column's are not"),
    "similar without files": ("{name: digits}", "{name: digits, similar: 3}", ":2: 'duplicates' and 'similar' compare files, and digits has none"),
    "labels of a set with labels": ("{name: digits}", "{name: digits, labels: l.csv}", ":2: 'labels' are for a 'folder'; digits has labels of its own"),
    "labels outside": ("{name: digits}", "{folder: x, labels: ../l.csv}", ":2: '../l.csv' must be a file under the data root or in the data's folder, without '..'"),
    "labels anywhere": ("{name: digits}", "{folder: x, labels: {file: /etc/passwd}}", ":2: '/etc/passwd' must be a file under the data root"),
    "labels without a file": ("{name: digits}", "{folder: x, labels: {path: id}}", ":2: 'file' is missing"),
    "an unknown key of labels": ("{name: digits}", "{folder: x, labels: {file: l.csv, id: a}}", ":2: unknown setting 'id'; it can be file, path, label, part, group"),
    "labels that are a list": ("{name: digits}", "{folder: x, labels: [l.csv]}", ":2: 'labels' must be a mapping of its settings"),
    "a column's name that is a number": ("{name: digits}", "{folder: x, labels: {file: l.csv, path: 0}}", ":2: 'path' must be text: write '0', in quotes"),
    "given without the parts' column": ("{name: digits}", "{folder: x, split: given, labels: l.csv}", ":2: split 'given' with 'labels' takes the column that says train, val or test: name it as 'part' in labels"),
    "parts without given": ("{name: digits}", "{folder: x, labels: {file: l.csv, part: fold}}", ":2: a 'part' in labels is for split 'given', and this is 'strict'"),
    "groups twice": ("{name: digits}", "{folder: x, group: a, labels: {file: l.csv, group: g}}", ":2: 'group' is given twice, here and in labels; leave one out"),
    "a group that is no expression": ("{name: digits}", "{folder: x, group: '(a'}", ":2: group '(a' is no regular expression: missing )"),
    "a group of nothing": ("{name: digits}", "{folder: x, group: ''}", ":2: 'group' is empty"),
    "unknown duplicates": ("{name: digits}", "{folder: x, duplicates: drop}", ":2: unknown duplicates 'drop'; it can be warn, error, together"),
    "duplicates together where parts are given": ("{name: digits}", "{folder: x, split: given, duplicates: together}", ":2: duplicates 'together' chooses parts, which split 'given' has; take 'error'"),
    "similar below 0": ("{name: digits}", "{folder: x, similar: -1}", ":2: 'similar' must be greater than or equal to 0, not '-1'"),
    "similar to all": ("{name: digits}", "{folder: x, similar: 64}", ":2: 'similar' must be less than or equal to 20, not '64'"),
    "similar or not": ("{name: digits}", "{folder: x, similar: true}", ":2: 'similar' must be an integer, not 'true'"),
    "not YAML": ("title: Test", "title: [Test", "not YAML"),
    "a tab": ("title: Test", "title:\tTest\n\tx: 1", ":1: not YAML"),
    "a tag that would run code": ("title: Test", "title: !!python/object/apply:os.system ['touch hacked']", ":1: the tag '!!python/object/apply:os.system' is not allowed"),
    "an unknown tag": ("title: Test", "title: !env HOME", ":1: the tag '!env' is not allowed"),
    "an alias of nothing": ("title: Test", "title: *nothing", ":1: not YAML: found undefined alias"),
    "a value in a circle": ("title: Test", "title: &a [*a]", "too many or too deeply nested values"),
    "two documents": ("title: Test", "title: Test\n---\nx: 1", "not YAML"),
    "a NUL": ("title: Test", "title: \0", "not YAML"),
    "a list": (GOOD, "- 1\n- 2\n", "m.yaml:1: a matrix is a mapping"),
    "nothing": (GOOD, "# nothing\n", "m.yaml:1: the file is empty"),
}  # fmt: skip


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, stdout, stderr. argparse ends by SystemExit."""
    try:
        code = runner.main(arguments)
    except SystemExit as ended:
        code = int(ended.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def matrix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    catalogue.library_models()  # says that it lists them, the first time
    catalogue.albumentations_arguments()
    file = tmp_path / "m.yaml"
    file.write_text(GOOD)
    return file


def refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> str:
    before = sorted(path.name for path in Path.cwd().iterdir())
    code, out, err = run(arguments, capsys)
    assert code == 2, err
    assert out == ""
    assert "Traceback" not in err
    assert message in err
    assert sorted(path.name for path in Path.cwd().iterdir()) == before, "nothing is written"
    return err


def test_the_good_one_is_good(matrix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(["m.yaml", "--plan", "--json"], capsys)
    assert code == 0
    assert json.loads(out)["totals"] == {"train": 2, "evaluate": 4, "benchmark": 0, "todo": 6}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("option", ["run", "plan"])
def test_bad_matrices(
    case: str, option: str, matrix: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, message = CASES[case]
    assert old in GOOD
    matrix.write_text(GOOD.replace(old, new, 1))
    arguments = ["m.yaml"] if option == "run" else ["m.yaml", "--plan"]
    error = refused(arguments, message, capsys)
    assert len(error.strip().splitlines()) == 1, error
    assert error.startswith("error: m.yaml"), error


def test_a_teacher_takes_the_images_of_its_own_size(
    matrix: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = """\
runs:
  teacher: {model: vit_b_16, image_size: 64}
  student: {model: ghostnet, distill: {method: soft_target, teacher: teacher}}
"""
    table = "  t: {rows: runs, columns: [{header: val, split: val}]}\n"
    head = GOOD[: GOOD.index("matrix:")]
    matrix.write_text(f"{head}{runs}tables:\n{table}")
    message = (
        "m.yaml:6: the teacher's model 'vit_b_16' takes images of its own training's 64 x 64 only"
    )
    refused(["m.yaml"], message, capsys)
    matrix.write_text(matrix.read_text().replace("image_size: 64", "image_size: 32"))
    assert run(["m.yaml", "--plan"], capsys)[0] == 0


def test_names_on_the_hub_are_tried_before_anything_runs(
    matrix: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(matrix.parent))
    good = GOOD.replace("mobilenetv2, ghostnet", "ghostnet, 'hf-hub:someone/absent@v1'")
    matrix.write_text(good)
    refused(["m.yaml"], "model 'hf-hub:someone/absent@v1' can't be had: it is not in", capsys)
    matrix.write_text(good.replace("epochs: 3", "pretrained: in1k"))
    message = "m.yaml:3: model 'hf-hub:someone/absent@v1' is one set of weights"
    refused(["m.yaml", "--plan"], message, capsys)


def test_the_example_of_the_issue_reads_as_it_says(
    matrix: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    matrix.write_text(GOOD.replace("epochs", "epoch"))
    error = refused(["m.yaml"], "", capsys)
    assert error == "error: m.yaml:3: unknown setting 'epoch'; did you mean 'epochs'?\n"


def test_no_such_file(matrix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(["n.yaml"], "n.yaml: no such file; did you mean 'm.yaml'?", capsys)
    refused(["."], "--init my.yaml --data . writes one", capsys)
    matrix.write_bytes(b"\xff\xfe\x00t")
    refused(["m.yaml"], "not YAML: not UTF-8 text", capsys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "train.epoch=1"], "--set train.epoch=1: unknown setting 'epoch'; did you mean 'epochs'?"),
        (["--set", "train.epochs=x"], "--set train.epochs=x: 'epochs' must be an integer, not 'x'"),
        (["--set", "train.epochs"], "--set train.epochs: expected a setting and a value"),
        (["--set", "train.model=nope_net"], "--set train.model=nope_net: unknown model 'nope_net'"),
        (["--set", "daat.name=digits"], "--set daat.name=digits: unknown setting 'daat'; did you mean 'data'?"),
        (["--set", "train.epochs=[1"], "--set train.epochs: '[1' is not a YAML value"),
        (["--set", "train.ema=5"], "--set train.ema=5: 'ema' "),
        (["--set", "train.ema.decay=0.5"], "--set train.ema.decay=0.5: 'ema.decay' is a part of 'ema', which is set as well; set one"),
        (["--set", "train.epochs=!!bool foo"], "--set train.epochs: '!!bool foo' is not a YAML value"),
        (["--set", "train.epochs=&a [*a]"], "is not a YAML value"),
        (["--set", "train.epochs=" + "[" * 3000], "is not a YAML value"),
        (["--seeds", "0,x"], "'x' is not a number from 0 up"),
        (["--seeds", "0,0"], "a seed is given twice"),
        (["--devices", "gpu"], "'gpu' is not auto, cpu or a list of GPUs as 0,1"),
        (["--devices", "0,0"], "names a device twice"),
        (["--devices", "97"], "--devices 97: that device is not there; torch sees"),
        (["--jobs-per-device", "0"], "'0' is not a number from 1 up"),
        (["--workers", "many"], "argument --workers: 'many' is neither auto nor a number from 0 up"),
        (["--plan", "--report"], "not allowed with"),
        (["--report"], "no job of m.yaml has run: nothing to report; run it first"),
        (["m.yaml"], "two matrices are named m, and would write one report"),
        (["--data-root", "nowhere", "--set", "data={name: cub200}"], "cub200 is not at nowhere/CUB_200_2011/images. Fetch"),
        (["--set", "data=stanfordcars"], "stanfordcars is not at data/stanford_cars/cars_train. Its server is gone, so it can't be fetched: put a copy"),
        (["--set", "data=fgvcaircraft"], "fgvcaircraft is not at data/fgvc-aircraft-2013b/data/images. No hash of its archive is published, so it is not fetched: get https"),
        (["--set", "data=cifar1000"], "--set data=cifar1000: unknown data 'cifar1000'; did you mean 'cifar100'?"),
        (["--set", "data.hf=beans"], "--set data.hf=beans: "),
        (["--set", "data={folder: birds}"], "--set data={folder: birds}: the data folder data/birds is not there"),
        (["--set", "data={name: digits, limit: 4}", "--set", "data.split=sequential"], "too few to give train, val and test one each"),
        (["--set", "data={name: digits, limit: 3}"], "(so have 9 more classes); 'limit' must be 4 or more, for it keeps 3 of its 178"),
        (["--set", "data={name: digits, limit: 3}", "--plan"], "'limit' must be 4 or more"),
        (["--runs", "x" * 256], "too long for a file's name"),
        (["--reports", "鳥" * 86, "--plan"], "too long for a file's name"),
        (["--data-root", "x" * 256, "--set", "data={folder: birds}", "--plan"], "too long for a file's name"),
        (["x" * 256], "can't be read"),
        (["--unknown"], "unrecognized arguments"),
        (["--format", "cvs"], "unknown 'cvs'; did you mean 'csv'?"),
        (["--format", "csv"], "no job of m.yaml has run: nothing to report; run it first"),
        (["--diff", "a", "b"], "--diff takes two reports, and no matrix"),
        (["--diff", "a", "b", "--format", "csv"], "--diff prints text, or --format json"),
        (["--diff", "a"], "--diff: expected 2 arguments"),
        (["--format", "csv", "--plan"], "--format prints a report's table, and not what --plan does"),
        (["--format", "csv", "--try"], "--format prints a report's table, and not what --try does"),
        (["--format", "json", "--marks"], "--marks is for tables; --format json has the verdicts"),
        (["--table", "ema"], "--table and --marks are for --format, as --format latex"),
        (["--report", "--marks"], "--table and --marks are for --format, as --format latex"),
        *(
            ([name, given], f"argument {name}: nothing is named; the current folder is '.'")
            for name in ("--runs", "--reports", "--data-root", "--data", "--also", "--tensorboard")
            for given in ("", " ")
        ),
        ([""], "argument MATRIX.yaml: nothing is named"),
        (["--stall-minutes", "40000"], "'40000' is not a number of minutes from 0 to 30,000"),
    ],
)  # fmt: skip
def test_bad_options(
    arguments: list[str], message: str, matrix: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(["m.yaml", *arguments], message, capsys)


def test_data_that_are_not_there_are_told_with_their_line(
    matrix: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And with what lies beside them, while there is a name like theirs."""
    Path("data/shapes").mkdir(parents=True)
    matrix.write_text(GOOD.replace("{name: digits}", "\n  folder: shape"))
    refused(["m.yaml"], "m.yaml:2: the data folder data/shape is not there", capsys)
    refused(["m.yaml"], "with --data-root; did you mean 'shapes'?", capsys)
    matrix.write_text(GOOD.replace("{name: digits}", "{name: cifar10}"))
    said = "cifar10 (given): 40,000 train / 10,000 val / 10,000 test images (not there; 170 MB to f"
    assert said in run(["m.yaml", "--plan"], capsys)[1]
    matrix.write_text(GOOD.replace("{name: digits}", "{hf: a/b}"))
    assert (
        "a/b (given): not known yet: not there; it is fetched from the Hugging Face Hub"
        in (run(["m.yaml", "--plan"], capsys)[1])
    )


def test_a_tag_runs_no_code(matrix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    matrix.write_text("title: !!python/object/apply:os.system ['touch hacked']\n")
    refused(["m.yaml"], "is not allowed", capsys)
    assert not Path("hacked").exists()


def test_published_figures_are_checked(matrix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    matrix.write_text(GOOD.replace("baseline: {ema: false}", "published: p.csv"))
    for content, message in (
        (
            "model,vall\nghostnet,0.5\n",
            "p.csv:1: the table has no column 'vall'; did you mean 'val'?",
        ),
        ("model,val\nghostnet,high\n", "p.csv:2: 'high' is not a number"),
        ("model,val\nghostnet\n", "p.csv:2: 1 fields where 2 belong"),
        ("", "p.csv is empty"),
        ("model,val\nghostnet,nan\n", "p.csv:2: 'nan' is not a figure"),
        ("model,val\nghostnet,1\nghostnet,1\n", "p.csv:3: 'ghostnet' has a line already"),
        (
            "model,val\nghostnett,1\n",
            "p.csv has a row 'ghostnett', which the table has not; did you mean 'ghostnet'?",
        ),
        (f"model,val\nghostnet,{'1' * 200_000}\n", "the published figures can't be read"),
    ):
        Path("p.csv").write_text(content)
        refused(["m.yaml"], message, capsys)


@pytest.mark.parametrize(
    ("metric", "figure", "message"),
    [
        ("f1", "96.5", "'96.5' under 'val' is no share of images, from 0 to 1"),
        ("auc", "99.1", "'99.1' under 'val' is no auc, from 0 to 1"),
        ("kappa", "-1.5", "'-1.5' under 'val' is no kappa, from -1 to 1"),
    ],
)
def test_published_figures_are_on_their_scale(
    metric: str, figure: str, message: str, matrix: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    column = GOOD.replace("header: val,", f"header: val, metric: {metric},")
    matrix.write_text(column.replace("baseline: {ema: false}", "published: p.csv"))
    Path("p.csv").write_text(f"model,val\nghostnet,{figure}\n")
    refused(["m.yaml"], f"p.csv:2: {message}", capsys)
    Path("p.csv").write_text("model,val\nghostnet,0.5\n")
    assert run(["m.yaml", "--plan"], capsys)[0] == 0


def test_a_bomb_of_aliases_is_refused(matrix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    matrix.write_text("\n".join(lines))
    refused(["m.yaml"], "too many or too deeply nested values", capsys)


def test_a_billion_figures_are_counted_and_not_built(
    matrix: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rates = ", ".join(f"{index}.5e-9" for index in range(1, 2001))
    many = GOOD.replace("  ema: [false, true]", f"  lr: [{rates}]")
    matrix.write_text(many.replace("tables:", f"seeds: {list(range(60))}\ntables:"))
    refused(["m.yaml"], ":7: the matrix has 240,000 trainings, more than 200,000", capsys)
    columns = "".join(
        f"      - {{header: c{index}, split: val, where: {{model: ghostnet}}}}\n"
        for index in range(1000)
    )
    wide = many[: many.index("      - ")].replace("rows: model", "rows: lr") + columns
    matrix.write_text(wide)
    refused(["m.yaml"], ":8: the table needs 2,000,000 figures, more than 1,000,000", capsys)
    excluded = "  exclude: [" + ", ".join(["{model: ghostnet}"] * 1001) + "]\n"
    matrix.write_text(GOOD.replace("tables:", f"{excluded}tables:"))
    refused(["m.yaml"], ":7: 1,001 combinations are excluded, more than 1,000", capsys)
