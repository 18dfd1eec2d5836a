/** Runs the command of a capability as an outsider would: a process of its own, judged by status and stdout. */
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CommandContext } from './context.ts'
import type { Capability } from './capability-table.ts'
import { runningStatus } from './peer-access.ts'

/** Loading a model on a slow machine. */
const COMMAND_MS = 180_000
const OUTPUT_MAX = 16 * 2 ** 20

export interface CapabilityResult {
  readonly id: string
  readonly result: 'pass' | 'fail' | 'skip'
  readonly why: string | null
}

/** What the commands run in. */
export interface Surroundings {
  /** Empty at first; rows that need nothing share a home in it, so that a model is loaded once. */
  readonly folder: string
  readonly running: boolean
  readonly peer: string | null
}

export async function surroundings(context: CommandContext): Promise<Surroundings> {
  const { home, io, signal } = context
  const status = await runningStatus(io, home, signal)
  const peer = status?.peers.find((entry) => entry.state === 'connected')?.id ?? null
  const folder = await mkdtemp(join(tmpdir(), 'weft-check-'))
  context.defer(() => rm(folder, { recursive: true, force: true }))
  return { folder, running: status !== null, peer }
}

export async function checkCapability(
  context: CommandContext,
  row: Capability,
  around: Surroundings,
): Promise<CapabilityResult> {
  const missing = missingFor(row, around)
  if (missing !== null) return { id: row.id, result: 'skip', why: missing }
  const home = row.needs === 'nothing' ? join(around.folder, 'home') : context.home
  const args = [...row.show.map((word) => filled(word, around)), '--home', home]
  const first = await runWeft(context, args)
  const again = async (fields: readonly string[]): Promise<string | null> =>
    differs(fields, first, await runWeft(context, args))
  const why = judge(row, first) ?? (row.same === undefined ? null : await again(row.same))
  return { id: row.id, result: why === null ? 'pass' : 'fail', why }
}

function filled(word: string, around: Surroundings): string {
  if (word === 'PEER') return around.peer ?? ''
  return word.startsWith('DIR/') ? join(around.folder, word.slice('DIR/'.length)) : word
}

function missingFor(row: Capability, around: Surroundings): string | null {
  if (row.needs === 'nothing') return null
  if (!around.running) return 'no peer is running: weft up starts it'
  return row.needs === 'mesh' && around.peer === null ? 'no other peer is connected' : null
}

interface Outcome {
  readonly status: number | null
  readonly stdout: string
}

function judge(row: Capability, outcome: Outcome): string | null {
  if (outcome.status !== row.status)
    return `it ended with status ${outcome.status ?? 'none in time'}, not ${row.status}`
  return new RegExp(row.sees).test(outcome.stdout) ? null : `stdout does not show ${row.sees}`
}

function differs(fields: readonly string[], first: Outcome, second: Outcome): string | null {
  const [left, right] = [first, second].map(({ stdout }) => JSON.parse(stdout) as Record<string, unknown>)
  const field = fields.find((name) => JSON.stringify(left?.[name]) !== JSON.stringify(right?.[name]))
  return field === undefined ? null : `"${field}" differs between two runs`
}

function runWeft({ io, signal }: CommandContext, args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(io.self[0] ?? process.execPath, [...io.self.slice(1), ...args], {
      stdio: ['ignore', 'pipe', 'ignore'],
      signal,
    })
    const cancel = io.clock.after(COMMAND_MS, () => child.kill('SIGKILL'))
    let stdout = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (stdout.length < OUTPUT_MAX) stdout += text
    })
    child.on('error', (error) => {
      cancel()
      reject(error)
    })
    child.on('close', (status) => {
      cancel()
      resolve({ status, stdout })
    })
  })
}
