import { Findings } from './checks.js';
import type { Dice } from './dice.js';
import type { ModelAccount } from './model-account.js';
import { monthOf } from './months.js';
import type { Run } from './run.js';
import type { Process } from './world.js';

/** One step under way: its dice, what it touches, what it says of itself and what it finds wrong. */
export class Context {
  readonly touched = new Set<ModelAccount>();
  readonly findings: Findings;
  private count = 0;

  constructor(
    readonly run: Run,
    readonly dice: Dice,
    readonly index: number,
    readonly kind: string,
  ) {
    this.findings = new Findings(`step ${index} (${kind})`);
  }

  say(text: string): void {
    this.run.log.push(`${this.index} ${this.kind}: ${text}`);
  }

  touch(account: ModelAccount): void {
    this.touched.add(account);
  }

  /** A key that no other step uses. */
  key(): string {
    this.count += 1;
    return `${this.run.seed}-${this.index}-${this.count}`;
  }

  anyAccount(): ModelAccount {
    return this.dice.pick(this.run.accounts);
  }

  /** Mostly the first process; the other's clock may be behind, but not to before the account. */
  processFor(account: ModelAccount): Process {
    const [first, second] = this.run.processes;
    const isBefore = monthOf(second.now().getTime()) < monthOf(account.createdMs);
    return this.dice.chance(70) || isBefore ? first : second;
  }
}
