import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isObject } from './json.js';
import { packageRoot } from './package-root.js';

/** One provider's price for one model, decimals as text in USD per million tokens. */
export interface ListPrice {
  readonly model: string;
  readonly provider: string;
  readonly inputUsdPerMillion: string;
  readonly outputUsdPerMillion: string;
  readonly cachedInputUsdPerMillion: string | null;
}

/** The token prices of `simulator/data/list-prices.json`, in file order. Throws when it is malformed. */
export function readListPrices(): ListPrice[] {
  const path = join(packageRoot(), 'simulator', 'data', 'list-prices.json');
  const file: unknown = JSON.parse(readFileSync(path, 'utf8'));
  if (!isObject(file) || !Array.isArray(file['tokenPrices'])) throw new Error(`Malformed: ${path}`);
  return file['tokenPrices'].flatMap((entry: unknown) => {
    if (!isObject(entry) || !Array.isArray(entry['providers']))
      throw new Error(`Malformed: ${path}`);
    const model = text(entry['model']);
    return entry['providers'].map((row: unknown) => {
      if (!isObject(row)) throw new Error(`Malformed: ${path}`);
      const cached = row['cachedInputUsdPerMillion'];
      return {
        model,
        provider: text(row['provider']),
        inputUsdPerMillion: text(row['inputUsdPerMillion']),
        outputUsdPerMillion: text(row['outputUsdPerMillion']),
        cachedInputUsdPerMillion: cached === undefined ? null : text(cached),
      };
    });
  });
}

function text(value: unknown): string {
  if (typeof value !== 'string') throw new Error('A name or price in list-prices.json is not text');
  return value;
}
