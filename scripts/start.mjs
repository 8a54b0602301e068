// `npm start`: builds what is not built, then becomes the service. `npm run simulator` does the same
// for the simulator. One process: a signal from a terminal, from npm or from a supervisor reaches the
// service itself, and nothing is left behind.
import { build } from './build.mjs';

const OLDEST_NODE = [20, 19];
const programs = { service: '../dist/src/main.js', simulator: '../dist/simulator/main.js' };

const program = programs[process.argv[2] ?? 'service'];
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (program === undefined) {
  stop(`there is no program "${process.argv[2]}": ${Object.keys(programs).join(' or ')}`);
} else if (major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1])) {
  stop(`Node.js ${process.versions.node} is too old: ${OLDEST_NODE.join('.')} or newer is needed`);
} else {
  let isBuilt = false;
  try {
    await build();
    isBuilt = true;
  } catch (error) {
    stop(error.message);
  }
  if (isBuilt) await import(program);
}

function stop(problem) {
  process.stderr.write(`tollgate: ${problem}\n`);
  process.exitCode = 1;
}
