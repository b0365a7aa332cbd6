// What the Khronos glTF validator says of a GLB.
//     NODE_PATH=.../node_modules node glb.js MODEL.glb
// Exit 1 on an error or a warning.
const validator = require("gltf-validator");
const bytes = new Uint8Array(require("fs").readFileSync(process.argv[2]));
validator.validateBytes(bytes).then((report) => {
    const { numErrors, numWarnings, messages } = report.issues;
    console.log(`  glTF validator ${validator.version()}: ${numErrors} errors, ${numWarnings} warnings`);
    messages.filter((m) => m.severity < 2).forEach((m) => console.log(`    ${m.code} ${m.pointer}: ${m.message}`));
    process.exit(numErrors + numWarnings > 0 ? 1 : 0);
});
