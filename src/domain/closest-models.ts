const CLOSEST_MAX = 5;
/** Longer texts are no typing errors, and comparing them costs. */
const COMPARED_MAX_CHARS = 128;
const DISTANCE_MAX = 5;

/**
 * The known models that a caller most likely meant, best first, at most five: the same name under
 * another organization or in other letter case, then those within a small edit distance.
 */
export function closestModels(asked: string, known: readonly KnownModel[]): readonly string[] {
  if (asked === '' || asked.length > COMPARED_MAX_CHARS) return [];
  const { text, base } = knownModel(asked);
  const found: { readonly id: string; readonly distance: number }[] = [];
  for (const model of known) {
    const whole = editDistance(text, model.text, limitFor(text));
    const inName = whole === 0 ? 0 : editDistance(base, model.base, limitFor(base));
    // Between two at the same distance the one of the right organization is the better guess.
    const distance = Math.min(whole, inName + 0.5);
    if (distance <= DISTANCE_MAX + 0.5) found.push({ id: model.id, distance });
  }
  found.sort((one, other) => one.distance - other.distance || (one.id < other.id ? -1 : 1));
  return found.slice(0, CLOSEST_MAX).map(({ id }) => id);
}

/** An id in the form in which it is compared. */
export interface KnownModel {
  readonly id: string;
  readonly text: string;
  readonly base: string;
}

export function knownModel(id: string): KnownModel {
  const text = id.toLowerCase();
  return { id, text, base: text.slice(text.indexOf('/') + 1) };
}

function limitFor(text: string): number {
  return Math.min(DISTANCE_MAX, Math.floor(text.length / 4));
}

/** Levenshtein distance; Infinity when it is above the limit. */
export function editDistance(one: string, other: string, limit: number): number {
  if (Math.abs(one.length - other.length) > limit) return Infinity;
  // What both begin and end with costs nothing, and most of a mistyped name is right.
  let start = 0;
  let oneEnd = one.length;
  let otherEnd = other.length;
  while (start < oneEnd && start < otherEnd && one[start] === other[start]) start += 1;
  while (oneEnd > start && otherEnd > start && one[oneEnd - 1] === other[otherEnd - 1]) {
    oneEnd -= 1;
    otherEnd -= 1;
  }
  const width = otherEnd - start;
  let row = Array.from({ length: width + 1 }, (_, column) => column);
  for (let at = start; at < oneEnd; at += 1) {
    const next = [at - start + 1];
    let least = Infinity;
    for (let column = 1; column <= width; column += 1) {
      const isSame = one.charCodeAt(at) === other.charCodeAt(start + column - 1);
      const replaced = (row[column - 1] ?? 0) + (isSame ? 0 : 1);
      const cost = Math.min(replaced, (row[column] ?? 0) + 1, (next[column - 1] ?? 0) + 1);
      next.push(cost);
      if (cost < least) least = cost;
    }
    if (Math.min(least, at - start + 1) > limit) return Infinity;
    row = next;
  }
  const distance = row[width] ?? 0;
  return distance <= limit ? distance : Infinity;
}
