import { expect } from 'vitest';
import type { BookEntry } from '../../simulator/books.js';
import { PriceSyncService } from '../../src/catalog/price-sync.service.js';
import { MetricsService } from '../../src/http/metrics.service.js';
import type { TestService } from './service.js';
import { eventually, type ShownEvent, type SimulatedService } from './simulated.js';

/** The parts of an event that say on which way it went. */
export interface RoutedEvent extends ShownEvent {
  readonly upstream: string;
  readonly task: string;
  readonly external: boolean | null;
  readonly ratedCostUsd: string | null;
  readonly units: Readonly<Record<string, string>> | null;
  readonly holdUsd: string;
}

/** A provider that the operator lets be called directly: its host is the simulator's. */
export async function callDirectly(
  service: SimulatedService,
  slug: string,
  settings: Readonly<Record<string, unknown>> = {},
  host = slug,
): Promise<void> {
  const { status, body } = await service.api(`/providers/${slug}`, {
    method: 'PUT',
    body: { baseUrl: `${service.simulator.url}/_direct/${host}`, ...settings },
  });
  if (status !== 200) throw new Error(`${slug} is not called directly: ${JSON.stringify(body)}`);
}

/** Reads every catalogue now, which must succeed. */
export async function syncCatalogues(service: TestService): Promise<void> {
  const result = await service.app.get(PriceSyncService, { strict: false }).syncNow();
  if (result.kind !== 'synced') throw new Error(JSON.stringify(result));
}

export async function postPrice(
  service: SimulatedService,
  price: Readonly<Record<string, string>>,
): Promise<void> {
  const body = { source: 'manual', ...price };
  const answer = await service.api('/prices', { method: 'POST', body });
  if (answer.status !== 201) throw new Error(`no price: ${JSON.stringify(answer.body)}`);
}

/** How often the operator was alarmed. */
export async function alarmsOf(service: TestService, kind: string): Promise<number> {
  const metrics = service.app.get(MetricsService, { strict: false });
  const { values } = await metrics.alarms.get();
  return values.find(({ labels }) => labels.kind === kind)?.value ?? 0;
}

/** An event once it has ended. */
export async function endedEvent(service: SimulatedService, id: string): Promise<RoutedEvent> {
  return eventually('the end of the event', async () => {
    const { status, body } = await service.api<RoutedEvent>(`/requests/${id}`);
    if (status !== 200) throw new Error(`no event ${id}: ${status}`);
    return body.state === 'open' ? null : body;
  });
}

/** The one line in the simulator's books for an event. */
export function lineOf(service: SimulatedService, event: RoutedEvent): BookEntry {
  const lines = service.simulator.books
    .since()
    .filter((one) => [one.requestId, one.inferenceId].includes(event.providerRequestId));
  expect(lines).toHaveLength(1);
  const [line] = lines;
  if (line === undefined) throw new Error('unreachable');
  return line;
}

const TOKEN_UNITS: ReadonlySet<string> = new Set([
  'input',
  'cached_input',
  'cache_write_5m',
  'cache_write_1h',
  'output',
]);

/** The event is settled, counts what the simulator counted and costs what it billed, to the pico-dollar. */
export async function expectBilled(
  service: SimulatedService,
  event: RoutedEvent,
): Promise<BookEntry> {
  expect(event).toMatchObject({ state: 'settled', usageSource: 'provider' });
  const line = lineOf(service, event);
  const [stored] = await service.database.query<{ cost: string; rated: string }>(
    `SELECT cost_pico_usd::text AS cost, rated_cost_pico_usd::text AS rated FROM usage_events WHERE id = $1`,
    [event.id],
  );
  expect([BigInt(stored?.rated ?? -1), line.billed]).toEqual([line.costPicoUsd, true]);
  expect(BigInt(stored?.cost ?? -1)).toBe(event.external === true ? 0n : line.costPicoUsd);
  const units = event.units ?? {};
  expect(Object.keys(units).length).toBeGreaterThan(0);
  for (const [unit, quantity] of Object.entries(units)) {
    if (!TOKEN_UNITS.has(unit)) expect([unit, quantity]).toEqual([unit, String(line.units[unit])]);
  }
  if (line.promptTokens > 0 && event.inputTokens !== null) {
    expect(event).toMatchObject({
      inputTokens: line.promptTokens,
      cachedInputTokens: line.cachedTokens,
      outputTokens: line.completionTokens,
    });
  }
  return line;
}

/** What the ledger says is owed to a provider at an upstream. */
export async function owedTo(
  service: TestService,
  upstream: string,
  provider: string,
): Promise<bigint> {
  const [row] = await service.database.query<{ owed: string }>(
    `SELECT coalesce(sum(CASE WHEN credit = $1 THEN amount_pico_usd ELSE -amount_pico_usd END), 0)::text AS owed
     FROM ledger_transfers WHERE $1 IN (debit, credit)`,
    [`provider_payable:${upstream}:${provider}`],
  );
  return BigInt(row?.owed ?? -1);
}

/** What is held of everybody's money. */
export async function heldPicoUsd(service: TestService): Promise<string> {
  const [row] = await service.database.query<{ held: string }>(
    'SELECT coalesce(sum(held_pico_usd), 0)::text AS held FROM budgets',
  );
  return row?.held ?? '';
}
