const PREFIX = 'condition=';
const CONDITION_MAX_CHARS = 64;

/**
 * What an unpriced event keeps as its raw usage, so that it can be rated once there are prices: the
 * condition (service tier) under which it was served. Null for the ordinary one.
 */
export function noteOfCondition(condition: string | null): string | null {
  return condition === null ? null : PREFIX + condition.slice(0, CONDITION_MAX_CHARS);
}

/** The condition that `noteOfCondition` wrote down; null: the ordinary one. */
export function conditionInNote(rawUsage: string | null): string | null {
  return rawUsage?.startsWith(PREFIX) === true ? rawUsage.slice(PREFIX.length) : null;
}
