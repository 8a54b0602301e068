import { readdirSync, readFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';

/** Processor time and memory of processes, from /proc. */

interface ProcessStat {
  readonly parent: number;
  /** Clock ticks of all its threads, user and system. */
  readonly own: number;
  /** Of children that ended and were waited for. */
  readonly ended: number;
}

let ticksPerSecond = 0;

function tickMicroseconds(): number {
  if (ticksPerSecond === 0) {
    const { stdout } = spawnSync('getconf', ['CLK_TCK'], { encoding: 'utf8' });
    ticksPerSecond = Number(stdout.trim()) || 100;
  }
  return 1_000_000 / ticksPerSecond;
}

function statOf(pid: number): ProcessStat | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name may contain anything; the fields start behind its bracket, with the third.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const at = (field: number): number => Number(fields[field - 3]);
    return { parent: at(4), own: at(14) + at(15), ended: at(16) + at(17) };
  } catch {
    return null;
  }
}

/** Microseconds of processor time of a process and all its children so far. */
export function cpuOfTree(root: number): number {
  let ticks = 0;
  const stats = new Map<number, ProcessStat>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    const stat = Number.isInteger(pid) ? statOf(pid) : null;
    if (stat !== null) stats.set(pid, stat);
  }
  for (const [pid, stat] of stats) {
    let at: number | undefined = pid;
    while (at !== undefined && at !== root && at > 1) at = stats.get(at)?.parent;
    if (at === root) ticks += stat.own + stat.ended;
  }
  return ticks * tickMicroseconds();
}

/** Resident memory of one process in bytes; 0 when it is gone. */
export function residentBytes(pid: number): number {
  try {
    const match = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return Number(match?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}
