/**
 * Model files that lie, by the thousand: each ends in an error with a code, or in a model that works; never in another
 * exception, a hang or a flood of memory. WEFT_FUZZ_SEED and WEFT_FUZZ_CASES choose other and longer runs.
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { isWhole } from '../whole.ts'

const SEED = Number(process.env['WEFT_FUZZ_SEED'] ?? 20_261_124)
const CASES = Number(process.env['WEFT_FUZZ_CASES'] ?? (isWhole ? 2_000 : 800))
/** What V8 may hoard before it collects, so that what is left of the measure is the readers'. */
const HEAP_MB = 160
/** The engine has 70 MB for itself, and the collector is lazy. */
const MOST_MB = 256 + 70
/** Under load a case takes some 20 ms. */
const DEADLINE_MS = 120_000 + CASES * 100

interface End {
  readonly codes: Readonly<Record<string, number>>
  readonly ran: number
  readonly grown: number
}
type Line =
  | { readonly type: 'beat'; readonly index: number }
  | { readonly type: 'finding'; readonly index: number; readonly what: string; readonly error: string }
  | ({ readonly type: 'end' } & End)

async function fuzz(): Promise<{ findings: string[]; end: End | null; last: number }> {
  const program = fileURLToPath(new URL('./support/fuzz/child.ts', import.meta.url))
  const flags = ['--disable-warning=ExperimentalWarning', `--max-old-space-size=${HEAP_MB}`]
  const child = spawn(process.execPath, [...flags, program, String(SEED), '0', String(CASES)], {
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: DEADLINE_MS,
    killSignal: 'SIGKILL',
  })
  const findings: string[] = []
  let last = 0
  let end: End | null = null
  for await (const text of createInterface({ input: child.stdout })) {
    const line = JSON.parse(text) as Line
    if (line.type === 'beat') last = line.index
    else if (line.type === 'end') end = line
    else findings.push(`case ${line.index} of seed ${SEED} (${line.what}): ${line.error}`)
  }
  return { findings, end, last }
}

it(
  `${CASES} hostile model files of seed ${SEED} are refused with a code or work`,
  async () => {
    const { findings, end, last } = await fuzz()
    expect(findings).toEqual([])
    expect(end, `it ended or hung within 50 cases of case ${last}, seed ${SEED}`).not.toBeNull()
    const { codes, ran, grown } = end!
    expect(grown).toBeLessThan(MOST_MB)
    // The cases reach beyond the first check, and some come through.
    expect(Object.keys(codes)).toEqual(
      expect.arrayContaining(['works', 'WEFT-MOD-002', 'WEFT-MOD-003', 'WEFT-MOD-005']),
    )
    expect(codes['works']).toBeGreaterThan(CASES / 20)
    expect(ran).toBeGreaterThan(0)
  },
  DEADLINE_MS + 10_000,
)
