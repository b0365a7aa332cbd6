"""Do our scores agree with public evaluators?

  agreement.py RELIEVO WORK TRUTH [--tools DIR]

WORK: a finished run; TRUTH: a rendered set's folder. Compared: position errors with evo's ATE (Sim3
alignment) and relative poses with its RPE; accuracy, completeness and F of a cloud with Open3D; and,
with --tools, the figures of eval_pose.py, eval_geometry.py (cloud and mesh) and eval_texture.py. Exit 1 on
disagreement, and where an evaluator or a part of WORK is missing. The same comparisons on small files, by numbers
printed once, are tests of crates/relievo-eval.
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import tomllib

try:
    import numpy as np
    import open3d as o3d
    from evo.core import metrics
    from evo.core.trajectory import PosePath3D
except ImportError as missing:
    sys.exit(f"{missing}: scripts/peers/requirements.txt names what is compared with")

relievo, work, truth = (str(pathlib.Path(p).resolve()) for p in sys.argv[1:4])
tools = pathlib.Path(sys.argv[5]) if len(sys.argv) > 5 and sys.argv[4] == "--tools" else None
failed = []
needed = [f"{work}/{part}" for part in ("cloud/dense.ply", "mesh/surface.ply", "export/model.glb")] if tools else []
needed += [tools / f"eval_{what}.py" for what in ("pose", "geometry", "texture")] if tools else []
if absent := [str(p) for p in needed if not pathlib.Path(p).is_file()]:
    sys.exit("not there: " + ", ".join(absent))


def eval_(what, *more):
    out = subprocess.run([relievo, "eval", what, "--json", *more], capture_output=True, text=True)
    if out.returncode:
        sys.exit(out.stderr)
    return json.loads(out.stdout)


def check(name, ours, theirs, relative, absolute=0.0):
    good = abs(ours - theirs) <= max(relative * abs(theirs), absolute)
    print(f"  {'agrees  ' if good else 'DIFFERS '} {name:<38} {ours:.6g}  {theirs:.6g}")
    if not good:
        failed.append(name)


def rotation(q):
    w, x, y, z = q
    return np.array([[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                     [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                     [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]])


def relative_errors(reference, moved, relation):
    """evo's relative pose errors of all pairs."""
    errors = []
    for i in range(1, reference.num_poses):
        rpe = metrics.RPE(relation, delta=i, delta_unit=metrics.Unit.frames, all_pairs=True)
        rpe.process_data((reference, moved))
        errors.extend(rpe.error)
    return np.array(errors)


def read_images(folder):
    """World-from-camera by file name, from images.txt."""
    lines = [l for l in open(pathlib.Path(folder) / "images.txt") if not l.startswith("#")]
    poses = {}
    for line in lines[::2]:
        t = line.split()
        if len(t) < 10:
            continue
        pose = np.eye(4)
        pose[:3, :3] = rotation(np.array(t[1:5], float)).T
        pose[:3, 3] = -pose[:3, :3] @ np.array(t[5:8], float)
        poses[pathlib.Path(" ".join(t[9:])).name] = pose
    return poses


def poses():
    with tempfile.TemporaryDirectory() as folder:
        model = pathlib.Path(folder) / "model"
        subprocess.run([relievo, "export", work, "--format", "colmap", "-o", str(model)], check=True,
                       stdout=subprocess.DEVNULL)
        estimate = read_images(model)
    true = read_images(pathlib.Path(truth) / "gt")
    ours = eval_("poses", "--estimate", work, "--truth", truth)
    print("evo: absolute trajectory error after Sim3 alignment")
    names = sorted(set(true) & set(estimate))
    reference = PosePath3D(poses_se3=[true[n] for n in names])
    moved = PosePath3D(poses_se3=[estimate[n] for n in names])
    moved.align(reference, correct_scale=True)
    ape = metrics.APE(metrics.PoseRelation.translation_part)
    ape.process_data((reference, moved))
    for mine, theirs in (("mean", "mean"), ("med", "median"), ("max", "max")):
        check(f"position {theirs} [mm]", ours["pos_mm"][mine],
              1000 * ape.get_statistic(metrics.StatisticsType[theirs]), 1e-6, 1e-9)
    ape = metrics.APE(metrics.PoseRelation.rotation_angle_deg)
    ape.process_data((reference, moved))
    check("rotation mean [deg]", ours["rot_deg"]["mean"], ape.get_statistic(metrics.StatisticsType.mean), 1e-4, 1e-6)
    print("evo: relative pose error, all pairs")
    angles = relative_errors(reference, moved, metrics.PoseRelation.rotation_angle_deg)
    lengths = relative_errors(reference, moved, metrics.PoseRelation.translation_part)
    check("relative rotation mean [deg]", ours["relrot_deg"]["mean"], float(np.mean(angles)), 1e-3, 1e-6)
    check("relative position mean [mm]", ours["rpe_mm"]["mean"], 1000 * float(np.mean(lengths)), 1e-5, 1e-9)
    check("relative rotation median [deg]", ours["relrot_deg"]["med"], float(np.median(angles)), 1e-3, 1e-6)


def write_ply(path, points):
    with open(path, "wb") as f:
        f.write(b"ply\nformat binary_little_endian 1.0\nelement vertex %d\n" % len(points))
        f.write(b"property float x\nproperty float y\nproperty float z\nend_header\n")
        f.write(points.astype("<f4").tobytes())


def cloud():
    print("Open3D: a noisy cloud around the true mesh, in its frame")
    mesh_path = pathlib.Path(truth) / "gt" / "mesh.ply"
    mesh = o3d.io.read_triangle_mesh(str(mesh_path))
    rng = np.random.default_rng(1)
    o3d.utility.random.seed(1)
    points = np.asarray(mesh.sample_points_uniformly(60000).points)
    points = points + rng.normal(0, 0.002, points.shape)
    extent = np.linalg.norm(mesh.get_max_bound() - mesh.get_min_bound())
    thresholds = [0.0005, 0.001, 0.002, 0.005, 0.01] if extent / 2 < 1.3 else [0.005, 0.01, 0.02, 0.05]
    # One point a voxel, as our score takes it.
    _, keep = np.unique(np.floor(points / (thresholds[0] / 2)).astype(np.int64), axis=0, return_index=True)
    points = points[np.sort(keep)].astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = str(pathlib.Path(folder) / "cloud.ply")
        write_ply(path, points)
        ours = eval_("cloud", "--estimate", path, "--truth", str(mesh_path))
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(o3d.t.geometry.TriangleMesh.from_legacy(mesh))
    accuracy = scene.compute_distance(o3d.core.Tensor(points)).numpy()
    estimate = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points.astype(float)))
    samples = mesh.sample_points_uniformly(300000)
    completeness = np.asarray(samples.compute_point_cloud_distance(estimate))
    check("accuracy mean [mm]", ours["accuracy_mm"]["mean"], 1000 * accuracy.mean(), 1e-3)
    check("accuracy median [mm]", ours["accuracy_mm"]["median"], 1000 * np.median(accuracy), 1e-3)
    # The true points are drawn at random on both sides.
    check("completeness mean [mm]", ours["completeness_mm"]["mean"], 1000 * completeness.mean(), 1e-2)
    for t in thresholds:
        row = ours["by_threshold_mm"][f"{t * 1000:g}"]
        p, r = (accuracy < t).mean(), (completeness < t).mean()
        check(f"precision at {t * 1000:g} mm", row["precision"], p, 1e-3, 2e-4)
        check(f"recall at {t * 1000:g} mm", row["recall"], r, 1e-2, 2e-3)
        check(f"F at {t * 1000:g} mm", row["f"], 2 * p * r / max(p + r, 1e-12), 1e-2, 2e-3)


def shared():
    print(f"{tools}: eval_pose.py")
    model = f"{work}/sparse/model"
    said = subprocess.run([sys.executable, tools / "eval_pose.py", model, f"{truth}/gt"], check=True,
                          stdout=subprocess.PIPE, text=True)
    theirs, ours = json.loads(said.stdout), eval_("poses", "--estimate", work, "--truth", truth)
    for limit, auc in theirs["auc"].items():
        check(f"AUC at {limit} deg", ours["auc"][limit], auc, 0.0, 0.011)
    check("position mean [mm]", ours["pos_mm"]["mean"], theirs["pos_mm"]["mean"], 0.0, 0.00051)
    check("rotation mean [deg]", ours["rot_deg"]["mean"], theirs["rot_deg"]["mean"], 0.0, 0.000051)
    for what, flag, file in (("cloud", "--points", "cloud/dense.ply"), ("mesh", "--mesh", "mesh/surface.ply")):
        surface = f"{work}/{file}"
        print(f"{tools}: {what}")
        with tempfile.TemporaryDirectory() as folder:
            out = f"{folder}/figures.json"
            subprocess.run([sys.executable, tools / "eval_geometry.py", truth, flag, surface, "--model", model,
                            "--json", out], check=True, stdout=subprocess.DEVNULL)
            theirs = json.load(open(out))[what]
        ours = eval_(what, "--estimate", work, "--truth", truth)
        # A mesh is sampled at random on both sides.
        relative, absolute = (0.01, 0.02) if what == "cloud" else (0.03, 0.05)
        for which in ("accuracy_mm", "completeness_mm"):
            for key in ("median", "mean"):
                check(f"{which[:-3]} {key} [mm]", ours[which][key], theirs[which][key], relative, absolute)
        for limit, row in theirs["by_threshold_mm"].items():
            mine = ours["by_threshold_mm"][f"{float(limit):g}"]
            for key, name in (("precision", "precision"), ("recall", "recall"), ("f", "F")):
                check(f"{name} at {limit} mm", mine[key], row[key], 0.0, 0.005)


def texture():
    """The GLB against the photos that the run held out, or against the first."""
    glb = pathlib.Path(work) / "export" / "model.glb"
    print(f"{tools}: eval_texture.py")
    raw = glb.read_bytes()
    size = int.from_bytes(raw[12:16], "little")
    extras = json.loads(raw[20:20 + size])["asset"]["extras"]
    settings = tomllib.loads((pathlib.Path(work) / "relievo.toml").read_text())
    only = settings.get("hold_out") or [sorted(p.name for p in (pathlib.Path(truth) / "images").iterdir())[0]]
    with tempfile.TemporaryDirectory() as folder:
        transform, out = f"{folder}/cameras_from_gltf.txt", f"{folder}/figures.json"
        np.savetxt(transform, np.linalg.inv(np.array(extras["gltf_from_model"], float).reshape(4, 4)))
        subprocess.run([sys.executable, tools / "eval_texture.py", glb, f"{work}/sparse/model", f"{truth}/images",
                        "--only", ",".join(only), "--transform", transform, "--json", out], check=True,
                       stdout=subprocess.DEVNULL)
        theirs = json.load(open(out))["mean"]
    names = [word for name in only for word in ("--only", name)]
    ours = eval_("texture", "--estimate", work, "--truth", truth, *names)
    check("PSNR [dB]", ours["psnr"], theirs["psnr"], 0.0, 0.1)
    check("PSNR after gains [dB]", ours["psnr_gain"], theirs["psnr_gain"], 0.0, 0.1)
    check("SSIM", ours["ssim"], theirs["ssim"], 0.0, 0.005)
    check("share covered", ours["hit"], theirs["hit"], 0.0, 0.002)


poses()
cloud()
if tools:
    shared()
    texture()
if failed:
    sys.exit(f"{len(failed)} figures differ: {', '.join(failed)}")
print("all figures agree")
