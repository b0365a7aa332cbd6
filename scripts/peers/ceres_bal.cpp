// Ceres on a problem of "bundle adjustment in the large": PROBLEM OUT.json THREADS, or --version.
// Squared loss, up to 50 iterations, everything free: what our solver does. Automatic derivatives and the
// Schur complement, dense for few cameras, as Ceres recommends.
#include <ceres/ceres.h>
#include <ceres/rotation.h>
#include <ceres/version.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

using Clock = std::chrono::steady_clock;

struct Residual {
  double u, v;
  template <typename T>
  bool operator()(const T* camera, const T* point, T* out) const {
    T p[3];
    ceres::AngleAxisRotatePoint(camera, point, p);
    for (int k = 0; k < 3; ++k) p[k] += camera[3 + k];
    const T x = -p[0] / p[2], y = -p[1] / p[2];
    const T r2 = x * x + y * y;
    const T scale = camera[6] * (1.0 + r2 * (camera[7] + camera[8] * r2));
    out[0] = scale * x - u;
    out[1] = scale * y - v;
    return true;
  }
};

struct Trace : ceres::IterationCallback {
  Clock::time_point started = Clock::now();
  std::vector<std::pair<double, double>> steps;
  ceres::CallbackReturnType operator()(const ceres::IterationSummary& s) override {
    const double seconds = std::chrono::duration<double>(Clock::now() - started).count();
    if (s.step_is_successful || s.iteration == 0) steps.emplace_back(seconds, s.cost);
    return ceres::SOLVER_CONTINUE;
  }
};

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--version") == 0) return std::puts(CERES_VERSION_STRING) < 0;
  if (argc != 4) return 2;
  std::FILE* in = std::fopen(argv[1], "r");
  int cameras, points, rows;
  if (!in || std::fscanf(in, "%d %d %d", &cameras, &points, &rows) != 3) return 1;
  std::vector<int> of_camera(rows), of_point(rows);
  std::vector<double> pixels(2 * rows), values(9 * cameras + 3 * points);
  for (int i = 0; i < rows; ++i)
    if (std::fscanf(in, "%d %d %lf %lf", &of_camera[i], &of_point[i], &pixels[2 * i], &pixels[2 * i + 1]) != 4)
      return 1;
  for (double& v : values)
    if (std::fscanf(in, "%lf", &v) != 1) return 1;
  std::fclose(in);

  ceres::Problem problem;
  for (int i = 0; i < rows; ++i)
    problem.AddResidualBlock(
        new ceres::AutoDiffCostFunction<Residual, 2, 9, 3>(new Residual{pixels[2 * i], pixels[2 * i + 1]}),
        nullptr, &values[9 * of_camera[i]], &values[9 * cameras + 3 * of_point[i]]);
  Trace trace;
  ceres::Solver::Options options;
  options.linear_solver_type = cameras <= 200 ? ceres::DENSE_SCHUR : ceres::SPARSE_SCHUR;
  options.num_threads = std::atoi(argv[3]);
  options.max_num_iterations = 50;
  options.callbacks.push_back(&trace);
  auto* ordering = new ceres::ParameterBlockOrdering;
  for (int i = 0; i < points; ++i) ordering->AddElementToGroup(&values[9 * cameras + 3 * i], 0);
  for (int i = 0; i < cameras; ++i) ordering->AddElementToGroup(&values[9 * i], 1);
  options.linear_solver_ordering.reset(ordering);
  trace.started = Clock::now();
  ceres::Solver::Summary summary;
  ceres::Solve(options, &problem, &summary);
  const double wall = std::chrono::duration<double>(Clock::now() - trace.started).count();
  double near_final = wall;
  for (const auto& step : trace.steps)
    if (step.second <= 1.001 * summary.final_cost) {
      near_final = step.first;
      break;
    }
  std::FILE* out = std::fopen(argv[2], "w");
  if (!out) return 1;
  std::fprintf(out, "{\"rows\": [");
  const char* form = "%s{\"metric\": \"%s\", \"value\": %.12g}";
  std::fprintf(out, form, "", "initial_cost", summary.initial_cost);
  std::fprintf(out, form, ", ", "final_cost", summary.final_cost);
  std::fprintf(out, form, ", ", "rms", std::sqrt(2 * summary.final_cost / rows));
  std::fprintf(out, form, ", ", "wall", wall);
  std::fprintf(out, form, ", ", "near_final", near_final);
  std::fprintf(out, form, ", ", "iterations", double(trace.steps.size()));
  std::fprintf(out, "]}\n");
  return std::fclose(out) == 0 ? 0 : 1;
}
