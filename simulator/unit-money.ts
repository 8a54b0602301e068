import type { PicoUsd } from './money.js';

/** What is counted beside tokens, in whole numbers. */
export type BaseUnit =
  'image' | 'pixel' | 'video_ms' | 'audio_ms' | 'gpu_ms' | 'compute_ms' | 'character';

/** The units in which providers publish prices and report quantities, decimals allowed. */
export type PublishedUnit =
  | 'image'
  | 'megapixel'
  | 'video_second'
  | 'audio_second'
  | 'gpu_second'
  | 'compute_second'
  | 'character';

/** A published price and what it means for one whole base unit. */
export interface UnitPrice {
  readonly published: PublishedUnit;
  readonly usdPerUnit: string;
  readonly unit: BaseUnit;
  /** How many base units one published unit holds. */
  readonly size: number;
  readonly picoUsdPerBaseUnit: PicoUsd;
}

const bases: Readonly<Record<PublishedUnit, { unit: BaseUnit; size: number }>> = {
  image: { unit: 'image', size: 1 },
  megapixel: { unit: 'pixel', size: 1_000_000 },
  video_second: { unit: 'video_ms', size: 1_000 },
  audio_second: { unit: 'audio_ms', size: 1_000 },
  gpu_second: { unit: 'gpu_ms', size: 1_000 },
  compute_second: { unit: 'compute_ms', size: 1_000 },
  character: { unit: 'character', size: 1 },
};

const PICO_DIGITS = 12;

/**
 * "0.025" per megapixel -> 25000 pico-USD per pixel. Throws RangeError on text that is not a plain
 * decimal, or a price that is no whole number of pico-USD per base unit.
 */
export function unitPrice(published: PublishedUnit, usdPerUnit: string): UnitPrice {
  const { unit, size } = bases[published];
  const pico = scaled(usdPerUnit, PICO_DIGITS);
  if (pico === null || pico.rest || pico.whole % BigInt(size) !== 0n) {
    throw new RangeError(`Not a price in USD per ${published}: ${usdPerUnit}`);
  }
  return { published, usdPerUnit, unit, size, picoUsdPerBaseUnit: pico.whole / BigInt(size) };
}

/** True for the name of a unit in which a price may be published. */
export function isPublishedUnit(name: string): name is PublishedUnit {
  return name in bases;
}

/** What a quantity in base units costs. */
export function unitCostPicoUsd(price: UnitPrice, quantity: number): PicoUsd {
  return BigInt(quantity) * price.picoUsdPerBaseUnit;
}

/** 1048576 pixels -> "1.048576" (megapixels): the quantity as the provider reports it. */
export function publishedQuantity(price: UnitPrice, quantity: number): string {
  return decimalText(quantity, price.size);
}

/** "1.5" (megapixels) -> 1500000 pixels, floored; null for anything but a plain decimal. */
export function baseQuantity(price: UnitPrice, text: string): number | null {
  const value = scaled(text, String(price.size).length - 1);
  return value === null ? null : Number(value.whole);
}

/** 250 of 1000 -> "0.25". `size` is a power of ten. */
export function decimalText(quantity: number, size: number): string {
  const digits = String(size).length - 1;
  const whole = Math.floor(quantity / size);
  const fraction = String(quantity % size)
    .padStart(digits, '0')
    .replace(/0+$/, '');
  return digits === 0 || fraction === '' ? String(whole) : `${whole}.${fraction}`;
}

/** The decimal times 10^digits; `rest` tells whether anything was cut off. */
function scaled(text: string, digits: number): { whole: bigint; rest: boolean } | null {
  const match = /^(\d{1,12})(?:\.(\d{1,18}))?$/.exec(text);
  if (match === null) return null;
  const fraction = match[2] ?? '';
  const kept = fraction.slice(0, digits).padEnd(digits, '0');
  return { whole: BigInt((match[1] ?? '0') + kept), rest: /[1-9]/.test(fraction.slice(digits)) };
}
