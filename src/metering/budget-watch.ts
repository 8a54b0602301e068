import { Injectable } from '@nestjs/common';

export type BudgetListener = (subjectIds: Iterable<string>) => void;

/** Tells whoever wants to know which budgets a commit has changed; a listener must be cheap. */
@Injectable()
export class BudgetWatch {
  private readonly listeners: BudgetListener[] = [];

  /** For the life of the process. */
  subscribe(listener: BudgetListener): void {
    this.listeners.push(listener);
  }

  changed(subjectIds: Iterable<string>): void {
    for (const listener of this.listeners) listener(subjectIds);
  }
}
