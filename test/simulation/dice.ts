import { SeededRandom } from '../../simulator/random.js';

/**
 * Chance of one seed. Every step throws dice of its own, named after its place in the list, so that
 * leaving other steps out does not change what it throws.
 */
export class Dice {
  private readonly random: SeededRandom;

  constructor(name: string) {
    this.random = new SeededRandom(hashOf(name));
  }

  /** A whole number in [min, max], both included. */
  between(min: number, max: number): number {
    return this.random.between(min, max);
  }

  chance(percent: number): boolean {
    return this.between(1, 100) <= percent;
  }

  pick<Item>(items: readonly Item[]): Item {
    const item = items[this.between(0, items.length - 1)];
    if (item === undefined) throw new Error('dice: nothing to pick from');
    return item;
  }

  pickOrNull<Item>(items: readonly Item[]): Item | null {
    return items.length === 0 ? null : this.pick(items);
  }

  weighted<Item>(items: readonly (readonly [Item, number])[]): Item {
    let left = this.between(1, Math.max(1, sum(items.map(([, weight]) => weight))));
    for (const [item, weight] of items) {
      left -= weight;
      if (left <= 0) return item;
    }
    throw new Error('dice: no weight');
  }

  shuffled<Item>(items: readonly Item[]): Item[] {
    const left = [...items];
    const shuffled: Item[] = [];
    while (left.length > 0) shuffled.push(...left.splice(this.between(0, left.length - 1), 1));
    return shuffled;
  }

  /** An amount in [0, max], of any magnitude below it with the same chance. */
  amount(max: bigint): bigint {
    if (max <= 0n) return 0n;
    const digits = this.between(1, max.toString().length);
    let text = '';
    for (let digit = 0; digit < digits; digit += 1) text += this.between(0, 9).toString();
    const amount = BigInt(text);
    return amount > max ? amount % (max + 1n) : amount;
  }

  uuid(): string {
    let hex = '';
    for (let index = 0; index < 8; index += 1)
      hex += this.between(0, 0xffff).toString(16).padStart(4, '0');
    const variant = (8 + this.between(0, 3)).toString(16);
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-7${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20)}`;
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** FNV-1a over the name, mixed once more: near names are far apart. */
function hashOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < name.length; index += 1) {
    hash = Math.imul(hash ^ name.charCodeAt(index), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b);
  return (hash ^ (hash >>> 15)) >>> 0;
}
