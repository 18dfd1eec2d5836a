/** Runs all checks, each on its own: one that breaks is a finding, not the end. */
import { toWeftError, UnexpectedError } from '../../errors.ts'
import type { CliIo } from '../io.ts'
import { runningStatus } from '../peer-access.ts'
import { fail } from './finding.ts'
import type { Check, DoctorFacts, Finding } from './finding.ts'
import { checkClock } from './clock.ts'
import { checkHome, checkKeys, checkSocket } from './home.ts'
import { checkDisk, checkEngine, checkMemory, checkNode } from './machine.ts'
import { checkMesh, checkPeer, checkStages } from './mesh.ts'
import { checkInterfaces, checkMulticast, checkPort } from './network.ts'

const CHECKS: readonly (readonly [string, Check])[] = [
  ['node', checkNode],
  ['engine', checkEngine],
  ['home', checkHome],
  ['keys', checkKeys],
  ['socket', checkSocket],
  ['memory', checkMemory],
  ['disk', checkDisk],
  ['clock', checkClock],
  ['interfaces', checkInterfaces],
  ['multicast', checkMulticast],
  ['port', checkPort],
  ['peer', checkPeer],
  ['mesh', checkMesh],
  ['stages', checkStages],
]

/** @param security those of a site that answers for its data, in place of the usual ones */
export async function* examine(io: CliIo, home: string, signal: AbortSignal, security = false): AsyncIterable<Finding> {
  let facts: DoctorFacts = { io, home, signal, status: null }
  let broken: Finding | undefined
  try {
    facts = { ...facts, status: await runningStatus(io, home, signal) }
  } catch (error) {
    signal.throwIfAborted()
    const { code, hint, message, why } = toWeftError(error)
    broken = fail('peer', `${message}: ${why ?? ''} (${code})`, hint)
  }
  const checks = security ? (await import('./security.ts')).SECURITY_CHECKS : CHECKS
  for (const [id, check] of checks) {
    if (id === 'peer' && broken !== undefined) yield broken
    else yield* await findingsOf(id, check, facts)
  }
}

async function findingsOf(id: string, check: Check, facts: DoctorFacts): Promise<readonly Finding[]> {
  try {
    return await check(facts)
  } catch (error) {
    facts.signal.throwIfAborted()
    const { info, hint, message } = toWeftError(error)
    const fix = info === UnexpectedError.info ? 'weft doctor --verbose' : hint
    return [fail(id, `this could not be checked: ${message}`, fix)]
  }
}
