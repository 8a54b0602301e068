import { text } from 'node:stream/consumers';
import { applyMigrations } from './schema-engine.js';

// A program: reads a connection string from standard input, prints what it applied, line by line.
try {
  const applied = await applyMigrations((await text(process.stdin)).trim());
  // The engine leaves timers behind that would keep this process, and a first start, for 10 s more.
  process.stdout.write(applied.map((name) => `${name}\n`).join(''), () => process.exit());
} catch (error) {
  process.stderr.write(error instanceof Error ? error.message : String(error), () => {
    process.exit(1);
  });
}
