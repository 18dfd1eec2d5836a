/** Cases of a suite of `weft vectors`, and what came out of them. */
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { call, json } from './support.ts'

export type Row = Readonly<Record<string, unknown>>
export interface Result extends Row {
  readonly ok: boolean
  readonly error?: { readonly kind: string; readonly party?: string | number; readonly index?: number }
}

export async function results(suite: string, cases: readonly object[]): Promise<Result[]> {
  const folder = mkdtempSync(join(tmpdir(), 'weft-fed-vectors-'))
  try {
    const path = join(folder, 'cases.json')
    const numbered = cases.map((one, id) => ({ id, ...one }))
    writeFileSync(path, JSON.stringify({ schema: 'weft.vectors/1', suite, cases: numbered }))
    const { status, stdout, stderr } = await call(['vectors', suite, '--in', path])
    expect([status, stderr]).toEqual([0, ''])
    return json(stdout)['results'] as Result[]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Kind, and whom and what it is about. */
export function refusals(list: readonly Result[]): string[] {
  return list.map(({ ok, error }) => {
    if (ok || error === undefined) return 'ok'
    const { kind, party, index } = error
    return [kind, party, index].filter((part) => part !== undefined).join(' ')
  })
}

export function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
