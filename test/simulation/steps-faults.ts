import { uuidv7 } from 'uuidv7';
import { BATCH_MAX, RELEASED_UNSENT } from '../../src/metering/group-commit.js';
import type { Context } from './context.js';
import {
  answer,
  compareReceipt,
  describe,
  described,
  pickOpen,
  refFor,
  settleOne,
} from './requests.js';
import { text, UNPRICED_UNITS } from './run.js';
import { lateCandidates } from './steps-requests.js';
import { RELEASED } from './steps-time.js';
import type { Process } from './world.js';

/** Steps in which processes die and connections break. */

/** A process dies with requests under way: the other one releases what it held. */
export async function crash(context: Context): Promise<void> {
  const { run, dice } = context;
  const [first, second] = run.processes;
  const [dying, other] = dice.chance(60) ? [first, second] : [second, first];
  const dead = run.world.restart(dying);
  run.lateJournals.push(dead.journal);
  await sweep(context, dead.ownerId, other);
  context.say(`${dying.name} died and was started again`);
}

/** As the sweeper does it, once it knows the owner dead. */
async function sweep(context: Context, ownerId: string, sweeper: Process): Promise<void> {
  const { run } = context;
  const held = [...run.model.events.values()].filter(
    (event) => event.state === 'open' && run.ownerOf.get(event.id) === ownerId,
  );
  const released = new Set<string>();
  const heirId = uuidv7();
  for (;;) {
    const events = await sweeper.owners.takeOver(ownerId, heirId, BATCH_MAX);
    if (events.length === 0) break;
    await Promise.all(
      events.map((event) => sweeper.journal.settle(event, RELEASED_UNSENT).receipt),
    );
    for (const { id } of events) released.add(id);
  }
  await sweeper.owners.forget(ownerId);
  for (const event of held) {
    context.findings.ensure(
      'invariant 20: what a dead process held is released',
      released.has(event.id),
      `${describe(event)} was not swept`,
    );
    run.model.settle(event, RELEASED, false);
    run.sweptIds.add(event.id);
    run.freedKeys.add(event.id);
    context.touch(event.account);
    context.say(`${describe(event)} swept`);
  }
  context.findings.equal(
    'invariant 20: what a dead process held is released',
    'requests swept',
    released.size,
    held.length,
  );
}

/** A settlement of a process that was taken for dead: booked once, beyond the hold it no longer has. */
export async function settleLate(context: Context): Promise<void> {
  const { run, dice } = context;
  const event = dice.pickOrNull(lateCandidates(context));
  if (event === null) return;
  const isUnpriced = dice.chance(40);
  const given = answer(context, event, isUnpriced ? { unit: dice.pick(UNPRICED_UNITS) } : {});
  const journal = dice.pickOrNull(run.lateJournals) ?? run.processes[0].journal;
  const receipt = await journal.settle(refFor(run, event), given.real).receipt;
  context.touch(event.account);
  context.say(
    `${describe(event)}, cost ${text(given.model.rated)} of a hold of ${text(event.hold)} that it lost: ${described(receipt)}`,
  );
  compareReceipt(context, event, receipt, run.model.settle(event, given.model, false));
}

/** A process hangs with a settlement in its hands, is taken for dead and swept, and comes back. */
export async function hang(context: Context): Promise<void> {
  const { run, dice } = context;
  const event = pickOpen(context);
  if (event === null) return;
  const [first, second] = run.processes;
  const hanging = run.ownerOf.get(event.id) === second.ownerId ? second : first;
  const other = hanging === first ? second : first;
  const given = answer(context, event);
  hanging.writing.arm('connection_dies', dice.between(1, 2), true);
  const ticket = hanging.journal.settle(refFor(run, event), given.real);
  while (!hanging.writing.hasStruck) await new Promise((wake) => setImmediate(wake));
  await sweep(context, run.ownerOf.get(event.id) ?? '', other);
  hanging.writing.disarm();
  const receipt = await ticket.receipt;
  context.touch(event.account);
  context.say(`${describe(event)} came back: ${described(receipt)}`);
  compareReceipt(context, event, receipt, run.model.settle(event, given.model, false));
}

/** The connection breaks inside a batch or the answer to its COMMIT is lost: it is done once. */
export async function breakJournal(context: Context): Promise<void> {
  const event = pickOpen(context);
  if (event === null) return;
  const process = context.processFor(event.account);
  const how = context.dice.pick(['statement_fails', 'connection_dies', 'answer_lost'] as const);
  process.writing.arm(how, how === 'answer_lost' ? 1 : context.dice.between(1, 3), false);
  try {
    await settleOne(context, process, event, answer(context, event));
  } finally {
    process.writing.disarm();
  }
}
