"""Cloud with normals to surface: CLOUD OUT.ply open3d|pymeshlab DEPTH."""
import sys

cloud, out, tool, depth = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
if tool == "open3d":
    import numpy
    import open3d

    points = open3d.io.read_point_cloud(cloud)
    mesh, density = open3d.geometry.TriangleMesh.create_from_point_cloud_poisson(points, depth=depth)
    # What no point supports is cut away, as its documentation does.
    density = numpy.asarray(density)
    mesh.remove_vertices_by_mask(density < numpy.quantile(density, 0.02))
    open3d.io.write_triangle_mesh(out, mesh)
else:
    import pymeshlab

    meshes = pymeshlab.MeshSet()
    meshes.load_new_mesh(cloud)
    meshes.generate_surface_reconstruction_screened_poisson(depth=depth, preclean=True)
    meshes.save_current_mesh(out, save_vertex_quality=False)
