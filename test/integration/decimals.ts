// Amounts worked out by hand: decimal text, scaled by 10^24, and nothing of the code under test.

const DIGITS = 24;
const ONE = 10n ** BigInt(DIGITS);

/** An amount of US dollars, in 10^-24. */
export type Decimal = bigint;

export function decimal(text: string): Decimal {
  const [whole = '', fraction = ''] = text.replace('-', '').split('.');
  const scaled = BigInt(whole + fraction.padEnd(DIGITS, '0'));
  return text.startsWith('-') ? -scaled : scaled;
}

/** Exact, without trailing zeros. */
export function textOf(amount: Decimal): string {
  const digits = (amount < 0n ? -amount : amount).toString().padStart(DIGITS + 1, '0');
  const fraction = digits.slice(-DIGITS).replace(/0+$/, '');
  const whole = digits.slice(0, -DIGITS);
  return `${amount < 0n ? '-' : ''}${whole}${fraction === '' ? '' : `.${fraction}`}`;
}

export function sumOf(amounts: readonly Decimal[]): Decimal {
  return amounts.reduce((sum, amount) => sum + amount, 0n);
}

/** Rounded down (toward minus infinity) to a number of decimals. */
export function floored(amount: Decimal, decimals: number): Decimal {
  const step = ONE / 10n ** BigInt(decimals);
  const rest = ((amount % step) + step) % step;
  return amount - rest;
}

/** With two decimals; of whole cents. */
export function centsText(amount: Decimal): string {
  const [whole = '', fraction = ''] = textOf(amount).split('.');
  return `${whole}.${fraction.padEnd(2, '0')}`;
}

/**
 * What lines show: each floored to a cent, then a cent more for the largest remainders, the first of
 * equal ones, until they are the floored sum.
 */
export function shownCents(amounts: readonly Decimal[]): readonly string[] {
  const cent = decimal('0.01');
  const shown = amounts.map((amount) => floored(amount, 2));
  let missing = (floored(sumOf(amounts), 2) - sumOf(shown)) / cent;
  while (missing > 0n) {
    let largest = 0;
    for (let index = 1; index < amounts.length; index += 1) {
      if (amounts[index]! - shown[index]! > amounts[largest]! - shown[largest]!) largest = index;
    }
    shown[largest] = shown[largest]! + cent;
    missing -= 1n;
  }
  return shown.map(centsText);
}
