/** Injection token of this process's id as an owner of holds (UUIDv7, new at every start). */
export const OWNER_ID = Symbol('OWNER_ID');
