"""Cloud with normals to surface: CLOUD OUT.ply open3d|pymeshlab DEPTH.

Of both results the corners with the lowest 2 % of density are cut away, as Open3D's documentation does.
OpenMP's threads wait without spinning, which on a shared machine would be counted as work.
"""
import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy

cloud, out, tool, depth = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
if tool == "open3d":
    import open3d

    points = open3d.io.read_point_cloud(cloud)
    mesh, density = open3d.geometry.TriangleMesh.create_from_point_cloud_poisson(points, depth=depth)
    density = numpy.asarray(density)
    mesh.remove_vertices_by_mask(density < numpy.quantile(density, 0.02))
    mesh.compute_vertex_normals()
    open3d.io.write_triangle_mesh(out, mesh)
else:
    import pymeshlab

    meshes = pymeshlab.MeshSet()
    meshes.load_new_mesh(cloud)
    meshes.generate_surface_reconstruction_screened_poisson(depth=depth, preclean=True)
    least = numpy.quantile(meshes.current_mesh().vertex_scalar_array(), 0.02)
    meshes.compute_selection_by_condition_per_vertex(condselect=f"q < {least}")
    meshes.meshing_remove_selected_vertices()
    meshes.save_current_mesh(out, save_vertex_quality=False, save_vertex_normal=True)
