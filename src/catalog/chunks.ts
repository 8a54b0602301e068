const CHUNK = 2_000;

/** Goes over a long list; other work gets its turn in between. */
export async function inChunks<Item>(
  items: readonly Item[],
  each: (item: Item) => void,
): Promise<void> {
  for (let start = 0; start < items.length; start += CHUNK) {
    if (start > 0) await new Promise<void>((resume) => setImmediate(resume));
    for (const item of items.slice(start, start + CHUNK)) each(item);
  }
}
