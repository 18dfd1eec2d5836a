/** `weft import` with no peer running: the same child opens the file, and Ctrl-C ends both. */
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { isWhole } from '../whole.ts'
import { writeGguf } from '../models/support/gguf-writer.ts'
import { tinyLlama } from '../models/support/tiny-llama.ts'
import { call, json, weft } from './support.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-cli-import-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

const source = join(base, 'model.gguf')
writeFileSync(source, writeGguf(tinyLlama({ matrix: 'F32', layers: 6, width: 256, hidden: 512 })))

/** Processes that open model files into this home: the home is among what they hold open. */
function readers(home: string): string[] {
  return readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name)) return false
    try {
      if (!readFileSync(`/proc/${name}/cmdline`, 'latin1').includes('models/import/main')) return false
      return readdirSync(`/proc/${name}/fd`).some((fd) => readlinkSync(`/proc/${name}/fd/${fd}`).startsWith(home))
    } catch {
      // It has ended meanwhile.
      return false
    }
  })
}

function left(home: string): string[] {
  return ['partitions', 'store'].flatMap((folder) =>
    readdirSync(join(home, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ name }) => name),
  )
}

describe('weft show of a file', () => {
  it('says which blocks a model would have, without a peer and again without keeping anything', async () => {
    const home = join(base, 'shown')
    for (let round = 0; round < 2; round++) {
      const { status, stdout } = await call(['show', source, '--home', home])
      expect(status).toBe(0)
      expect(stdout).toMatch(/^shape +llama, 6 layers of 256, .*^1\.\.6 +decoder +auto /ms)
      expect(left(home)).toEqual([])
    }
    const { stdout } = await call(['show', source, '--home', home, '--json'])
    expect(json(stdout)).toMatchObject({ schema: 'weft.outline/1', path: source, shape: { layers: 6 } })
  })

  it('refuses what is none with its code', async () => {
    const broken = join(base, 'broken.gguf')
    writeFileSync(broken, readFileSync(source).subarray(0, 3000))
    const { status, stderr } = await call(['show', broken, '--home', join(base, 'shown')])
    expect(status).not.toBe(0)
    expect(stderr).toContain('WEFT-MOD-002')
  })
})

describe.skipIf(process.platform !== 'linux')('weft import (skipped: looks for its child in /proc)', () => {
  it.runIf(isWhole)('ends with Ctrl-C, child and all, keeps nothing, and works the next time', async () => {
    const home = join(base, 'home')
    const args = ['import', source, '--name', 'mine', '--home', home]
    let during: string[] = []
    const stopped = await weft(args, {
      started: (child) => {
        // As soon as it is there: what is printed first comes before it or after it, as the machine likes.
        const look = setInterval(() => {
          during = readers(home)
          if (during.length === 0) return
          clearInterval(look)
          child.kill('SIGINT')
        }, 2)
        child.once('exit', () => clearInterval(look))
      },
    })
    expect(stopped).toMatchObject({ status: 130, stdout: '' })
    expect(during).toHaveLength(1)
    expect(readers(home)).toEqual([])
    expect(left(home)).toEqual([])
    const done = await weft([...args, '--json'])
    expect(json(done.stdout)).toMatchObject({ schema: 'weft.model/1', model: 'mine', blocks: 8 })
  })

  it('says in a line with a code what is wrong with a file that lies', async () => {
    const home = join(base, 'other')
    const lying = join(base, 'lying.gguf')
    writeFileSync(lying, writeGguf({ ...tinyLlama(), tensorCount: 1n << 60n }))
    const { status, stdout, stderr } = await weft(['import', lying, '--home', home])
    expect({ status, stdout }).toEqual({ status: 8, stdout: '' })
    expect(stderr).toMatch(/malformed model file: tensor count: .* +WEFT-MOD-002\n/)
    expect(left(home)).toEqual([])
  })
})
