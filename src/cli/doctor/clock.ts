/** The clock: certificates, invites, opening hours of a policy and the audit log go by it. */
import { formatSpan, plural } from '../format.ts'
import { printable } from '../text.ts'
import { fail, ok, warn } from './finding.ts'
import type { Check, Finding } from './finding.ts'

/** Before this version was made: such a clock is wrong. */
const FLOOR = Date.UTC(2025, 0, 1)
/** What a cluster takes for no difference. */
const APART_MS = 300_000
const FIX = 'set the clock, for example with timedatectl set-ntp true'

interface Told {
  readonly name: string
  /** Milliseconds, of this machine's. */
  readonly ahead: number
}

export const checkClock: Check = async ({ io, status }) => {
  const now = io.clock.wall()
  const text = `clock says ${new Date(now).toISOString()}`
  if (now < FLOOR) return [fail('clock', text, FIX)]
  const told = (status?.peers ?? []).flatMap(({ name, state, link }): Told[] => {
    const ahead = state === 'connected' ? (link?.clock_ahead_ms ?? null) : null
    return ahead === null ? [] : [{ name: printable(name), ahead }]
  })
  if (told.length === 0) return [ok('clock', text)]
  const apart = told.filter(({ ahead }) => Math.abs(ahead) > APART_MS)
  if (apart.length === 0) return [ok('clock', `${text}, as those of ${plural(told.length, 'connected peer')}`)]
  const alike = agreeing(apart)
  return told.length > 1 && 2 * alike.length > told.length ? [wrongHere(text, told, alike)] : apart.map(wrongThere)
}

/** Those whose clocks say about the same: some are ahead and some behind where this one is right, and they are wrong. */
function agreeing(apart: readonly Told[]): readonly Told[] {
  const { ahead: middle } = apart.toSorted((left, right) => left.ahead - right.ahead)[apart.length >> 1]!
  return apart.filter(({ ahead }) => Math.abs(ahead - middle) <= APART_MS)
}

/** Most say something else, and the same. */
function wrongHere(text: string, told: readonly Told[], alike: readonly Told[]): Finding {
  const { ahead } = alike.toSorted((left, right) => left.ahead - right.ahead)[alike.length >> 1]!
  const how = `${formatSpan(Math.abs(ahead))} ${ahead > 0 ? 'behind' : 'ahead of'} most of the others`
  return fail('clock', `${text}, ${how}: ${alike.length} of ${plural(told.length, 'connected peer')} say so`, FIX)
}

/** Of two nobody knows which. */
function wrongThere({ name, ahead }: Told): Finding {
  const how = `${formatSpan(Math.abs(ahead))} ${ahead > 0 ? 'ahead of' : 'behind'} that of this machine`
  return warn('clock', `the clock of ${name} is ${how}: one of them is wrong`, FIX)
}
