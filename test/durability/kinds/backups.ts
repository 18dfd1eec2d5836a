/** Backups of a home, those kept for others, and for whom they are kept. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  BackupShelf,
  createBackup,
  HalfRestoredError,
  listBackups,
  openVault,
  RESTORING,
  restoreBackup,
  SHELF_HEADER,
  verifyBackup,
} from '../../../src/store/index.ts'
import type { Vault } from '../../../src/store/index.ts'
import { keepFor, readKeeping } from '../../../src/peer/backups/keeping.ts'
import type { Kind, Step } from '../kind.ts'
import { identityNumber } from './membership.ts'

const PASSPHRASE = 'a long passphrase'
const COST = 1 << 10
const PEER = identityNumber(1).id

function vaultIn(home: string): Promise<Vault> {
  return openVault(join(home, 'vault'), PASSPHRASE, { create: true, cost: COST })
}

function write(home: string, text: string): void {
  mkdirSync(join(home, 'home', 'state'), { recursive: true })
  writeFileSync(join(home, 'home', 'state', 'small'), text)
  writeFileSync(join(home, 'home', 'policy.json'), '{}')
}

const backup: Kind = {
  name: 'backup',
  prepare(home) {
    write(home, 'before')
  },
  async open(home) {
    const back = (number: number): Step => ({
      name: `backup ${number}`,
      async run() {
        const vault = await vaultIn(home)
        if ((await vault.lists()).length >= number) return
        await createBackup(vault, { home: join(home, 'home'), peer: PEER, wall: 1e12 + number, version: '0' })
      },
    })
    const all = async (): Promise<unknown> => {
      const vault = await openVault(join(home, 'vault'), PASSPHRASE, { create: false }).catch((error: unknown) => {
        if ((error as { code?: string }).code === 'WEFT-STO-040') return undefined
        throw error
      })
      if (vault === undefined) return []
      const found = await listBackups(vault)
      for (const { snapshot } of found) await verifyBackup(vault, snapshot)
      return found.map(({ snapshot, files, bytes }) => [snapshot, files, bytes])
    }
    return {
      steps: [back(1), back(2)],
      state: all,
      close: () => undefined,
    }
  },
  unchecked: (path) => path.startsWith('home/'),
}

const shelf: Kind = {
  name: 'backups kept for others',
  open(home) {
    const kept = new BackupShelf(join(home, 'kept'))
    const names = ['aa', 'bb'].map((byte) => `chunks/${byte}/${byte.repeat(32)}`)
    const list = 'snapshots/2026-01-01T00-00-00-000Z.weft'
    const add = (name: string): Step => ({
      name: `add ${name}`,
      run: () => kept.add(name, new Uint8Array(700).fill(7)),
    })
    return { steps: [SHELF_HEADER, ...names, list].map(add), state: () => kept.names(), close: () => undefined }
  },
  isOpaque: true,
}

const keeping: Kind = {
  name: 'for whom backups are kept',
  open(home) {
    const places = { root: home, state: join(home, 'state') }
    const keep = (number: number, bytes: number): Step => ({
      name: `keep ${number} ${bytes}`,
      run: () => keepFor(places, identityNumber(number).id, bytes),
    })
    return {
      steps: [keep(3, 1000), keep(4, 2000), keep(3, 0)],
      state: async () => [...(await readKeeping(places))],
      close: () => undefined,
    }
  },
}

function restoredState(target: string): string {
  if (existsSync(join(target, RESTORING))) return 'half'
  const path = join(target, 'state', 'small')
  return existsSync(path) ? readFileSync(path, 'utf8') : 'nothing'
}

/** A restore that is cut off leaves its mark, and is done again. */
const restore: Kind = {
  name: 'restore',
  async prepare(home) {
    write(home, 'before')
    await createBackup(await vaultIn(home), { home: join(home, 'home'), peer: PEER, wall: 1e12, version: '0' })
  },
  open(home) {
    const target = join(home, 'restored')
    return {
      steps: [
        { name: 'restore', run: async () => restoreBackup(await vaultIn(home), { home: target, own: undefined }) },
      ],
      state() {
        const state = restoredState(target)
        if (state === 'half') throw new HalfRestoredError(target)
        return state
      },
      close: () => undefined,
    }
  },
  async read(home) {
    const target = join(home, 'restored')
    if (restoredState(target) === 'half') await restoreBackup(await vaultIn(home), { home: target, own: undefined })
    return restoredState(target)
  },
  isOpaque: true,
}

export const KINDS: readonly Kind[] = [backup, shelf, keeping, restore]
