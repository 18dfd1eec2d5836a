/**
 * What an outsider's test needs: to record, to hold and to change messages (docs/federated.md). Set by options of a
 * command alone, for the life of the process; nothing of it is there in normal operation, and where it is, the peer says so.
 */
import { spawn } from 'node:child_process'
import { appendFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { z } from 'zod'
import { encodeFrame } from '../../net/index.ts'
import type { Clock } from '../../util/index.ts'
import { JobRefusedError } from '../plan/errors.ts'
import type { Filter, Outgoing } from '../rounds/collector.ts'
import { frameOf } from '../rounds/pipe.ts'
import type { Message, Pipe } from '../rounds/pipe.ts'
import { eventOf, messageOf } from './test-events.ts'

export interface TestHooks {
  /** Names of the options that were set: what a status shows. */
  readonly on: readonly string[]
  readonly filter?: Filter | undefined
  readonly before?: ((stage: string) => Promise<void>) | undefined
  /** A pipe whose messages are kept. */
  readonly recorded?: ((pipe: Pipe) => Pipe) | undefined
}

/** Messages of a member that can be waited before. */
export const HOLD_STAGES = ['training', 'advertise', 'shares', 'masked', 'consistency', 'reveal'] as const

export interface HookOptions {
  /** Milliseconds to wait before a message, by its stage. */
  readonly hold?: Readonly<Partial<Record<string, number>>> | undefined
  /** A command line: each message that the aggregator would send goes to it, and what it prints is sent instead. */
  readonly filter?: string | undefined
  /** A folder that keeps each message. */
  readonly record?: string | undefined
}

export const NO_HOOKS: TestHooks = { on: [] }

interface HookNeeds {
  readonly clock: Clock
  readonly log: (facts: Record<string, unknown>, text: string) => void
}

/** Says aloud that rounds here are no real ones from now on. */
export function hooksOf({ clock, log }: HookNeeds, options: HookOptions, before: TestHooks): TestHooks {
  const { hold, filter, record } = options
  const set = Object.entries({ hold, filter, record }).flatMap(([name, value]) => (value === undefined ? [] : [name]))
  if (set.length === 0) return before
  const on = [...new Set([...before.on, ...set])].sort()
  log({ test_interface: on }, `a test interface of federations is on until this peer ends: ${on.join(', ')}`)
  return {
    ...before,
    on,
    ...(hold === undefined ? {} : { before: (stage: string) => clock.sleep(hold[stage] ?? 0) }),
    ...(filter === undefined ? {} : { filter: filterBy(filter) }),
    ...(record === undefined ? {} : { recorded: recorder(record) }),
  }
}

/** Of a message that may be none. */
function shownEvent(message: Message): unknown {
  try {
    return eventOf(message)
  } catch {
    return { [message.kind]: null }
  }
}

function recorder(folder: string): (pipe: Pipe) => Pipe {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const path = join(folder, 'messages.jsonl')
  let round: unknown = null
  const keep = (dir: 'in' | 'out', peer: string, message: Message): void => {
    const { kind, body, payload } = message
    if (kind === 'begin') round = body['session']
    const bytes = Buffer.concat(encodeFrame(frameOf(kind, body, payload)))
    const line = { dir, peer, round, stage: kind, bytes: bytes.toString('base64'), event: shownEvent(message) }
    appendFileSync(path, `${JSON.stringify(line)}\n`, { mode: 0o600 })
  }
  return (pipe) => ({
    remote: pipe.remote,
    async send(kind, body = {}, payload = new Uint8Array()) {
      keep('out', pipe.remote, { kind, body: body as Message['body'], payload })
      await pipe.send(kind, body, payload)
    },
    async next(wait) {
      const message = await pipe.next(wait)
      keep('in', pipe.remote, message)
      return message
    },
    get isOpen() {
      return pipe.isOpen
    },
    onEnd: (action) => pipe.onEnd(action),
    close: () => pipe.close(),
  })
}

const answerSchema = z.array(z.object({ to: z.string(), position: z.int(), round: z.int(), event: z.unknown() }))

/** A line in, a line out: the list that the program prints for a message takes its place. */
function filterBy(command: string): Filter {
  const child = spawn('/bin/sh', ['-c', command], { stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdin.on('error', () => undefined)
  child.unref()
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  let turn: Promise<unknown> = Promise.resolve()
  const ask = async (round: number, message: Outgoing): Promise<readonly Outgoing[]> => {
    const { to, position, kind, body, payload = new Uint8Array() } = message
    // What scripts have no word for goes through as it is.
    if (!['roster', 'ciphertexts', 'survivors', 'ballots'].includes(kind)) return [message]
    const event = eventOf({ kind, body: body as Message['body'], payload })
    child.stdin.write(`${JSON.stringify({ to, position, round, event })}\n`)
    const answer = await lines.next()
    if (answer.done === true) throw new JobRefusedError('of a test', `"${command}" has ended`)
    const list = answerSchema.parse(JSON.parse(answer.value))
    return list.map((one) => ({ to: one.to, position: one.position, ...messageOf(one.event) }))
  }
  return (round, messages) => {
    const mine = turn.then(async () => {
      const sent: Outgoing[] = []
      for (const message of messages) sent.push(...(await ask(round, message)))
      return sent
    })
    turn = mine.catch(() => undefined)
    return mine
  }
}
