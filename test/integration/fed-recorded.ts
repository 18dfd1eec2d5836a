/** What members said in the rounds of a federation, as `--record` kept it, and what must hold of all of it together. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

interface Line {
  readonly dir: 'in' | 'out'
  readonly stage: string
  readonly event: Readonly<Record<string, Readonly<Record<string, unknown>>>>
}

/** Of one member: what left it, session by session. */
interface Said {
  readonly keys: readonly string[]
  /** Ids of sessions in which a piece of its vector left, signatures, and shares by owner. */
  readonly vectors: ReadonlySet<string>
  readonly signed: readonly string[]
  readonly revealed: readonly { readonly sid: string; readonly b: readonly string[]; readonly s: readonly string[] }[]
}

export function saidBy(folder: string): Said {
  const path = join(folder, 'messages.jsonl')
  const text = existsSync(path) ? readFileSync(path, 'utf8') : ''
  const [keys, signed, vectors]: [string[], string[], Set<string>] = [[], [], new Set()]
  const revealed: { sid: string; b: string[]; s: string[] }[] = []
  let sid = ''
  for (const line of text.split('\n')) {
    const known = parsed(line)
    if (known?.dir !== 'out') continue
    const { stage, event } = known
    const body = event[stage] ?? {}
    if (stage === 'advertise') keys.push(String(body['c_pk']), String(body['s_pk']), String(body['commitment']))
    if (stage === 'shares') sid = String(body['sid'])
    if (stage === 'piece') vectors.add(sid)
    if (stage === 'consistency' && 'signature' in body) signed.push(sid)
    if (stage === 'reveal') {
      const of = (kind: 'b' | 's'): string[] => Object.keys(body[kind] ?? {})
      revealed.push({ sid, b: of('b'), s: of('s') })
    }
  }
  return { keys, vectors, signed, revealed }
}

/** The last line of a process that was killed may be cut. */
function parsed(line: string): Line | undefined {
  try {
    return JSON.parse(line) as Line
  } catch {
    return undefined
  }
}

/** @returns what does not hold: a key of two rounds, a second signature or answer of a session, both shares of one member */
export function faultsOf(all: readonly Said[]): string[] {
  const faults: string[] = []
  const twice = (what: string, list: readonly string[]): void => {
    const seen = new Set<string>()
    for (const one of list) {
      if (seen.has(one)) faults.push(`${what} twice: ${one}`)
      seen.add(one)
    }
  }
  twice(
    'a key',
    all.flatMap(({ keys }) => keys),
  )
  const kinds = new Map<string, Set<string>>()
  for (const { signed, revealed } of all) {
    twice('a set was signed', signed)
    twice(
      'shares left',
      revealed.map(({ sid }) => sid),
    )
    for (const { sid, b, s } of revealed) {
      for (const [kind, owners] of Object.entries({ b, s })) {
        for (const owner of owners) {
          const known = kinds.get(`${sid} ${owner}`) ?? new Set()
          kinds.set(`${sid} ${owner}`, known.add(kind))
        }
      }
    }
  }
  for (const [owner, of] of kinds) if (of.size > 1) faults.push(`both shares of one member: ${owner}`)
  return faults
}
