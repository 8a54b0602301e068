import type { CallResult, Measured } from '../domain/health.js';

/** Who was called, and for what. */
export interface CalledRoute {
  readonly upstream: string;
  /** Who answered, or was to; null: the router did not say. */
  readonly provider: string | null;
  /** As callers name it; null or left out: not known. */
  readonly model?: string | null;
  /** Under an organization's own key: its failures are that key's, and say nothing to others. */
  readonly isExternal?: boolean;
}

/** `trial`: it failed, its time is over, and one call may find out. */
export type RouteHealth = 'healthy' | 'trial' | 'unhealthy';

/** How routes have done lately, in the memory of this process. */
export abstract class Health {
  /** Another number whenever an order that was made from what is below may be another now. */
  abstract readonly version: number;
  /** As `version`, with what the time that has passed changes. */
  abstract versionAt(at: Date): number;
  /** One call ended. Not for what was the caller's own fault, nor when he left. */
  abstract note(route: CalledRoute, result: CallResult, at: Date): void;
  /** @param provider null: the router's own choice. */
  abstract healthOf(
    upstream: string,
    provider: string | null,
    model: string,
    at: Date,
  ): RouteHealth;
  /** As it was here lately, for a model at a provider. */
  abstract measured(upstream: string, provider: string, model: string): Measured;
}

/** Whether anybody answers at an upstream: never a call that is billed. */
export abstract class UpstreamProbe {
  /** Never rejects. */
  abstract isAnswering(upstream: string): Promise<boolean>;
}
