import { Inject, Injectable, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import type { Logger } from 'pino';
import { uuidv7 } from 'uuidv7';
import { Clock } from '../config/clock.js';
import { alertChanges, usageRatio, type BudgetUse } from '../domain/alerts.js';
import { burnedIn, parseCredit, usableIn } from '../domain/credits.js';
import { periodOf } from '../domain/periods.js';
import { BudgetWatch } from '../metering/budget-watch.js';
import { LOGGER } from '../http/http.module.js';
import type { Alert, Delivery, NamedAlert } from './alert.js';
import { AlertDeliveryService } from './alert-delivery.service.js';
import { AlertMetrics } from './alert-metrics.js';
import { AlertsRepository, type WatchedBudget } from './alerts.repository.js';

/** Touched budgets are looked at together, this long after the first one. */
const GATHER_MS = 1_000;
/** Past so many within a second all budgets are looked at instead. */
const TOUCHED_MAX = 20_000;
const PAGE_BUDGETS = 2_000;
/** How long a stopping process waits for a look under way. */
const STOP_WAIT_MAX_MS = 3_000;
const NIL_UUID = '00000000-0000-0000-0000-000000000000';

/**
 * Notices when a budget reaches a threshold. Off the path of requests: the journal only says which
 * budgets it changed. What is missed that way (a crash, an outage) the job `alert-evaluation` finds.
 */
@Injectable()
export class AlertsService implements OnModuleInit, OnModuleDestroy {
  private touched = new Set<string>();
  private hasOverflown = false;
  private timer: NodeJS.Timeout | null = null;
  private looking: Promise<void> | null = null;
  private isStopping = false;

  constructor(
    private readonly alerts: AlertsRepository,
    private readonly deliveries: AlertDeliveryService,
    private readonly metrics: AlertMetrics,
    private readonly clock: Clock,
    private readonly watch: BudgetWatch,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  onModuleInit(): void {
    this.watch.subscribe((subjectIds) => {
      this.budgetsTouched(subjectIds);
    });
  }

  /** Budgets (accounts, members, tokens) whose use or limit changed. Cheap, and never fails. */
  budgetsTouched(subjectIds: Iterable<string>): void {
    for (const subjectId of subjectIds) {
      if (this.touched.size < TOUCHED_MAX) this.touched.add(subjectId);
      else if (!this.touched.has(subjectId)) this.hasOverflown = true;
    }
    this.lookSoon();
  }

  /** Looks at these budgets in the period of `at`; returns how many alerts that raised. */
  async evaluate(subjectIds: readonly string[], at: Date): Promise<number> {
    const period = periodOf(at);
    return this.raise(await this.alerts.budgetsOf(subjectIds, period), period, at);
  }

  /** Looks at every budget that ends somewhere; returns how many alerts that raised. */
  async evaluateAll(at: Date): Promise<number> {
    const period = periodOf(at);
    let raised = 0;
    let afterId = NIL_UUID;
    for (;;) {
      const budgets = await this.alerts.budgetsAfter(afterId, PAGE_BUDGETS, period);
      raised += await this.raise(budgets, period, at);
      const last = budgets.at(-1);
      if (last === undefined || budgets.length < PAGE_BUDGETS || this.isStopping) return raised;
      afterId = last.subjectId;
    }
  }

  /** Alerts of an account, newest first. */
  async list(
    accountId: string,
    limit: number,
    beforeId: string | null,
  ): Promise<readonly { readonly alert: NamedAlert; readonly deliveries: readonly Delivery[] }[]> {
    return this.alerts.list(accountId, limit, beforeId);
  }

  async onModuleDestroy(): Promise<void> {
    this.isStopping = true;
    if (this.timer !== null) clearTimeout(this.timer);
    const giveUp = new Promise((wake) => setTimeout(wake, STOP_WAIT_MAX_MS).unref());
    await Promise.race([this.looking, giveUp]);
  }

  private lookSoon(): void {
    const isNothingToDo = this.touched.size === 0 && !this.hasOverflown;
    if (this.isStopping || this.timer !== null || this.looking !== null || isNothingToDo) return;
    this.timer = setTimeout(() => {
      this.timer = null;
      this.looking = this.look().then(() => {
        this.looking = null;
        this.lookSoon();
      });
    }, GATHER_MS);
    this.timer.unref();
  }

  private async look(): Promise<void> {
    const subjectIds = [...this.touched];
    const isAll = this.hasOverflown;
    this.touched = new Set();
    this.hasOverflown = false;
    try {
      const at = this.clock.now();
      await (isAll ? this.evaluateAll(at) : this.evaluate(subjectIds, at));
    } catch (error) {
      this.logger.warn({ err: error }, 'budgets could not be looked at: the next job does');
    }
  }

  private async raise(
    budgets: readonly WatchedBudget[],
    period: string,
    at: Date,
  ): Promise<number> {
    const looks = budgets.map((budget) => lookAt(budget, period, at));
    const rearmed = looks.flatMap((look) => look.rearmed);
    if (rearmed.length > 0) await this.alerts.rearm(rearmed, at);
    const due = looks
      .flatMap((look) => look.due)
      .sort((one, other) => (orderOf(one) < orderOf(other) ? -1 : 1))
      // Ids ascend as the alerts do: a lower threshold is told before a higher one.
      .map((alert): Alert => ({ id: uuidv7(), ...alert }));
    if (due.length === 0) return 0;
    const raised = new Set(await this.alerts.raise(due));
    for (const { id, scope } of due) if (raised.has(id)) this.metrics.raised.inc({ scope });
    if (raised.size > 0) this.deliveries.wake(at);
    return raised.size;
  }
}

/** The same in every process, and the order in which people are told. */
function orderOf({ subjectId, basis, threshold }: Omit<Alert, 'id'>): string {
  return `${subjectId}:${basis}:${threshold.toString().padStart(3, '0')}`;
}

function lookAt(
  budget: WatchedBudget,
  period: string,
  at: Date,
): { readonly due: readonly Omit<Alert, 'id'>[]; readonly rearmed: readonly string[] } {
  const ratio = usageRatio(useOf(budget, period));
  if (ratio === null) return { due: [], rearmed: [] };
  const { subjectId, accountId, scope } = budget;
  const { due, rearmed } = alertChanges(ratio, budget.thresholds, budget.told);
  return {
    rearmed,
    due: due.map((threshold) => ({
      accountId,
      subjectId,
      scope,
      period,
      threshold,
      raisedAt: at,
      ...ratio,
    })),
  };
}

function useOf(budget: WatchedBudget, period: string): BudgetUse {
  const { scope, limitPicoUsd, usedPicoUsd, isPayAsYouGo } = budget;
  if (scope !== 'account') return { scope, limitPicoUsd, usedPicoUsd };
  const state = parseCredit(isPayAsYouGo ? null : budget.creditText);
  const burnedPicoUsd = burnedIn(state, period);
  const credit = {
    usedPicoUsd: burnedPicoUsd,
    grantedPicoUsd: burnedPicoUsd + usableIn(state, period),
  };
  return { scope, isPayAsYouGo, limitPicoUsd, usedPicoUsd, credit };
}
