const CLOSEST_MAX = 5;
/** Longer texts are no typing errors, and comparing them costs. */
const COMPARED_MAX_CHARS = 128;
const DISTANCE_MAX = 5;
/** A shorter piece is part of many names and says nothing. */
const CONTAINED_MIN_CHARS = 3;
/** What another organization's model is behind the asked one's, all else being equal. */
const OTHER_OWNER = 0.1;

/**
 * The known models that a caller most likely meant, best first, at most five: the same name under
 * another organization or in other letter case; one name that is a part of the other, the more of it
 * the better; those within a small edit distance.
 */
export function closestModels(asked: string, known: readonly KnownModel[]): readonly string[] {
  if (asked === '' || asked.length > COMPARED_MAX_CHARS) return [];
  const askedModel = knownModel(asked);
  const { text, base } = askedModel;
  const found: { readonly id: string; readonly distance: number }[] = [];
  for (const model of known) {
    const whole = editDistance(text, model.text, limitFor(text));
    const inName = whole === 0 ? 0 : editDistance(base, model.base, limitFor(base));
    // Between two at the same distance the one of the right organization is the better guess.
    const distance = Math.min(whole, inName + 0.5, containment(askedModel, model));
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
  /** `text` and `base` without punctuation. */
  readonly plainText: string;
  readonly plainBase: string;
}

export function knownModel(id: string): KnownModel {
  const text = id.toLowerCase();
  const base = text.slice(text.indexOf('/') + 1);
  return { id, text, base, plainText: plain(text), plainBase: plain(base) };
}

/** Letters and digits, with a dot only where two numbers would become one: 3.1-1b is not 3.11b. */
function plain(text: string): string {
  const words = text.match(/\d+|[^\P{L}\d]+/gu) ?? [];
  return words.reduce(
    (joined, word) => joined + (/\d$/.test(joined) && /^\d/.test(word) ? '.' : '') + word,
    '',
  );
}

/**
 * How far apart two names are one of which is a part of the other: from 0.5, as far as the same name
 * under another organization, to below 1.6. Infinity where neither is a part of the other.
 */
function containment(asked: KnownModel, known: KnownModel): number {
  const inName = lackOf(asked.plainBase, known.plainBase);
  if (inName === Infinity) return 0.5 + OTHER_OWNER + lackOf(asked.plainText, known.plainText);
  const isOwnersOwn = asked.text === asked.base || ownerOf(asked) === ownerOf(known);
  return 0.5 + inName + (isOwnersOwn ? 0 : OTHER_OWNER);
}

/** The share of the longer text that the shorter one within it lacks. */
function lackOf(asked: string, known: string): number {
  const longest = Math.max(asked.length, known.length);
  const shortest = Math.min(asked.length, known.length);
  if (shortest < CONTAINED_MIN_CHARS) return Infinity;
  // A caller leaves out much of a long name, but does not add as much to a short one.
  const isPart = known.includes(asked) || (2 * shortest >= longest && asked.includes(known));
  return isPart ? (longest - shortest) / longest : Infinity;
}

function ownerOf({ text, base }: KnownModel): string {
  return text.slice(0, text.length - base.length);
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
