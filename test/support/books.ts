import { expect } from 'vitest';
import type { BookEntry } from '../../simulator/books.js';
import { unlistedOffers } from '../../simulator/unlisted-prices.js';
import { formatUsd } from '../../src/domain/money.js';
import { startSimulated, type SimulatedOptions, type SimulatedService } from './simulated.js';

/** A recorded event with its quantities, as our API shows it. */
export interface BookedEvent {
  readonly id: string;
  readonly state: string;
  readonly outcome: string | null;
  readonly task: string;
  readonly stream: boolean;
  readonly provider: string | null;
  readonly model: string;
  readonly providerRequestId: string | null;
  readonly inputTokens: number | null;
  readonly outputTokens: number | null;
  readonly usageSource: string | null;
  readonly units: Readonly<Record<string, string>> | null;
  readonly costUsd: string | null;
  readonly attempts: { readonly provider: string | null; readonly status: number | null }[] | null;
}

/**
 * The service in front of a simulator with every price of its own, and these models' prices that its
 * list does not show in the book as the operator's.
 */
export async function startSelling(
  models: readonly string[],
  options: SimulatedOptions = {},
): Promise<SimulatedService> {
  const service = await startSimulated({
    ...options,
    simulator: { cachedPrices: true, ...options.simulator },
  });
  for (const price of unlistedOffers(service.simulator.catalogue)) {
    if (!models.includes(price.model)) continue;
    const { status, body } = await service.api('/prices', {
      method: 'POST',
      body: { ...price, source: 'manual' },
    });
    if (status !== 201) throw new Error(`no price: ${JSON.stringify({ price, body })}`);
  }
  return service;
}

/** The one line that a provider wrote about the event. */
export function lineOf(service: SimulatedService, event: BookedEvent): BookEntry {
  const lines = service.simulator.books
    .since()
    .filter(({ requestId, inferenceId }) =>
      [requestId, inferenceId].includes(event.providerRequestId),
    );
  const [line] = lines;
  if (line === undefined || lines.length > 1) {
    throw new Error(`${lines.length} lines in the books for ${JSON.stringify(event)}`);
  }
  return line;
}

/** The event, once it is seen to say what the provider's books say: who, every unit, every pico-dollar. */
export async function bookedAs(
  service: SimulatedService,
  requestId: string | null | undefined,
): Promise<{ readonly event: BookedEvent; readonly line: BookEntry }> {
  const { status, body: event } = await service.api<BookedEvent>(
    `/requests/${requestId ?? 'missing'}`,
  );
  if (status !== 200) throw new Error(`no event ${requestId ?? ''}: ${status}`);
  const line = lineOf(service, event);
  expect({
    state: event.state,
    provider: event.provider,
    model: event.model,
    task: event.task,
    units: withoutZeros(event.units ?? {}),
    costUsd: event.costUsd,
  }).toEqual({
    state: 'settled',
    provider: line.provider,
    model: line.model,
    task: line.task,
    units: billedUnits(service, line),
    costUsd: formatUsd(line.costPicoUsd),
  });
  return { event, line };
}

/** What was billed by its unit; of what was measured besides, only what the offer has a price for. */
function billedUnits(service: SimulatedService, line: BookEntry): Record<string, string> {
  const offer = service.simulator.catalogue.offer(line.model, line.provider);
  const rated = new Set<string>((offer?.rates ?? []).map(({ unit }) => unit));
  const measured = Object.entries(line.units).filter(([unit]) => rated.has(unit));
  return withoutZeros({
    input: String(line.promptTokens - line.cachedTokens - line.cacheWriteTokens),
    cached_input: String(line.cachedTokens),
    cache_write_5m: String(line.cacheWriteTokens - line.cacheWrite1hTokens),
    cache_write_1h: String(line.cacheWrite1hTokens),
    output: String(line.completionTokens),
    ...Object.fromEntries(measured.map(([unit, quantity]) => [unit, quantity.toString()])),
  });
}

function withoutZeros(units: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(units).filter(([, quantity]) => quantity !== '0'));
}
