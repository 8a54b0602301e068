// Set-up of the tests that start real processes: they run what is built.
import { build } from './build.mjs';

export async function setup() {
  await build();
}
