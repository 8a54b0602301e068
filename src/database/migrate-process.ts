import { text } from 'node:stream/consumers';
import { applyMigrations } from './schema-engine.js';

// A program: reads a connection string from standard input, prints what it applied, line by line.
try {
  const applied = await applyMigrations((await text(process.stdin)).trim());
  process.stdout.write(applied.map((name) => `${name}\n`).join(''));
} catch (error) {
  process.stderr.write(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
