import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import type { Logger } from 'pino';
import { CONFIG, ENCRYPTION_KEY } from '../config/config.module.js';
import type { Config } from '../config/config.js';
import { SecretBox, type SealedSecret } from '../config/secret-box.js';
import { deliveryRetryAfterMs } from '../domain/alerts.js';
import { LOGGER } from '../http/http.module.js';
import type { SendResult } from './alert.js';
import { AlertDeliveriesRepository, type ClaimedDelivery } from './alert-deliveries.repository.js';
import { AlertMetrics } from './alert-metrics.js';
import { webhookSecretOwner } from './alert-settings.js';
import { mailText, webhookBody } from './alert-text.js';
import { MailClient } from './mail.client.js';
import { WebhookClient } from './webhook.client.js';

/** Attempts at the same time in this process. */
const AT_ONCE = 8;
/** Of these for one account: one whose receiver is slow does not hold up the others. */
const AT_ONCE_PER_ACCOUNT = 2;
/** Longer than any attempt; a delivery whose process died is taken up again after it. */
const LEASE_MS = 60_000;
const STOP_WAIT_MAX_MS = 3_000;

/**
 * Tells people and programs of alerts, each at least once and as a rule exactly once: at once after
 * an alert is raised, and by the job `alert-delivery` what has to be tried again.
 */
@Injectable()
export class AlertDeliveryService implements OnModuleDestroy {
  private readonly secrets: SecretBox;
  private readonly running = new Map<string, number>();
  private readonly workers = new Set<Promise<void>>();
  private claiming: Promise<unknown> = Promise.resolve();
  private isMoreDue = false;
  private isStopping = false;
  /** Moves on with the process's own clock while deliveries are under way. */
  private startedAt = { time: 0, mark: 0 };

  constructor(
    private readonly deliveries: AlertDeliveriesRepository,
    private readonly webhooks: WebhookClient,
    private readonly mails: MailClient,
    private readonly metrics: AlertMetrics,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(ENCRYPTION_KEY) key: Buffer,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.secrets = new SecretBox(key);
  }

  /** There is something to deliver: begins behind whatever the caller does. */
  wake(at: Date): void {
    this.deliverDue(at).catch((error: unknown) => {
      this.logger.warn({ err: error }, 'alerts could not be delivered: the next job tries again');
    });
  }

  /** Makes every attempt that is due; resolves when this process has none under way or to make. */
  async deliverDue(at: Date): Promise<void> {
    if (this.workers.size === 0 || at > this.now()) {
      this.startedAt = { time: at.getTime(), mark: performance.now() };
    }
    this.isMoreDue = !this.addWorker();
    let failure: PromiseRejectedResult | null = null;
    while (this.workers.size > 0) {
      const ends = await Promise.allSettled([...this.workers]);
      failure ??= ends.find((end) => end.status === 'rejected') ?? null;
    }
    if (failure !== null) throw failure.reason;
  }

  async onModuleDestroy(): Promise<void> {
    this.isStopping = true;
    const giveUp = new Promise((wake) => setTimeout(wake, STOP_WAIT_MAX_MS).unref());
    await Promise.race([Promise.allSettled([...this.workers]), giveUp]);
  }

  /** False when as many as may are at work. */
  private addWorker(): boolean {
    if (this.workers.size >= AT_ONCE) return false;
    const worker = this.work();
    this.workers.add(worker);
    const leave = (): void => {
      this.workers.delete(worker);
    };
    worker.then(leave, leave);
    return true;
  }

  /** Makes one attempt after the other; who finds something to do calls one more to look for more. */
  private async work(): Promise<void> {
    while (!this.isStopping) {
      const claim = await this.claim();
      if (claim === null) {
        // Something became due while every worker was at work: this one was just too early.
        if (!this.isMoreDue) return;
        this.isMoreDue = false;
        continue;
      }
      this.addWorker();
      try {
        await this.attempt(claim);
      } finally {
        this.countRunning(claim.alert.accountId, -1);
      }
    }
  }

  /** One after the other: the next one knows whose share is used up. */
  private claim(): Promise<ClaimedDelivery | null> {
    const mine = this.claiming.then(() => this.claimNext());
    this.claiming = mine.catch(() => null);
    return mine;
  }

  private async claimNext(): Promise<ClaimedDelivery | null> {
    const at = this.now();
    const busy = [...this.running].filter(([, count]) => count >= AT_ONCE_PER_ACCOUNT);
    const claim = await this.deliveries.claim(
      at,
      new Date(at.getTime() + LEASE_MS),
      busy.map(([accountId]) => accountId),
    );
    if (claim !== null) this.countRunning(claim.alert.accountId, 1);
    return claim;
  }

  private countRunning(accountId: string, more: 1 | -1): void {
    const count = (this.running.get(accountId) ?? 0) + more;
    if (count === 0) this.running.delete(accountId);
    else this.running.set(accountId, count);
  }

  private async attempt(claim: ClaimedDelivery): Promise<void> {
    const { channel, attempts, alert } = claim;
    const result = claim.isWanted ? await this.send(claim) : NO_LONGER_WANTED;
    if (result.kind === 'delivered') {
      this.metrics.attempts.inc({ channel, outcome: 'delivered' });
      await this.deliveries.delivered(claim, this.now());
      return;
    }
    const retryAfterMs = claim.isWanted ? deliveryRetryAfterMs(attempts) : null;
    const outcome = retryAfterMs === null ? 'dead' : 'failed';
    this.metrics.attempts.inc({ channel, outcome });
    this.logger.info(
      { alertId: alert.id, accountId: alert.accountId, channel, attempts, problem: result.problem },
      outcome === 'dead' ? 'an alert was given up' : 'an alert could not be delivered yet',
    );
    const next = retryAfterMs === null ? null : new Date(this.now().getTime() + retryAfterMs);
    await this.deliveries.failed(claim, result.problem, next);
  }

  private async send({ channel, target, alert, secret }: ClaimedDelivery): Promise<SendResult> {
    switch (channel) {
      case 'email':
        return this.mails.send(target, alert.id, mailText(alert, this.config.publicUrl));
      case 'webhook': {
        const opened = this.openSecret(alert.accountId, secret);
        if (opened === null) return { kind: 'failed', problem: 'its secret cannot be opened' };
        const message = { id: alert.id, body: webhookBody(alert), secret: opened };
        return this.webhooks.post(target, message);
      }
    }
  }

  private openSecret(accountId: string, secret: SealedSecret | null): string | null {
    try {
      return secret === null ? null : this.secrets.open(secret, webhookSecretOwner(accountId));
    } catch (error) {
      this.logger.error({ err: error, accountId }, 'the secret of a webhook cannot be opened');
      return null;
    }
  }

  private now(): Date {
    return new Date(this.startedAt.time + (performance.now() - this.startedAt.mark));
  }
}

const NO_LONGER_WANTED: SendResult = {
  kind: 'failed',
  problem: 'it was taken out of the settings before it could be delivered',
};
