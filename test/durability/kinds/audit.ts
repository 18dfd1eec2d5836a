/** The audit log, what is seen of those of others, and the policy of the site, which it says to be in force. */
import { mkdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  AuditDamagedError,
  auditPlaces,
  checkAuditFile,
  openAuditLog,
  openSitePolicy,
  POLICY_IN_FORCE,
  readAuditRows,
  signHead,
  standingPolicy,
  verify,
  Witnesses,
} from '../../../src/trust/index.ts'
import type { AuditLog } from '../../../src/trust/index.ts'
import { writePolicyFile } from '../../../src/trust/policy/file.ts'
import { readPolicy } from '../../../src/trust/policy/read.ts'
import { systemClock, systemRandom } from '../../../src/util/index.ts'
import type { Kind, Step } from '../kind.ts'
import { identityNumber } from './membership.ts'

const identity = identityNumber(1)
const signer = {
  sign: (bytes: Uint8Array) => identity.sign(bytes),
  verify: (bytes: Uint8Array, signature: Uint8Array) => verify(identity.id, bytes, signature),
}

function openLog(home: string): AuditLog {
  for (const folder of ['state', 'keys']) mkdirSync(join(home, folder), { recursive: true })
  return openAuditLog({ clock: systemClock(), random: systemRandom(), signer, log: () => undefined }, auditPlaces(home))
}

const auditLog: Kind = {
  name: 'audit log',
  prepare(home) {
    for (const folder of ['state', 'keys']) mkdirSync(join(home, folder))
  },
  open(home) {
    const log = openLog(home)
    let written: string[] = []
    const add = (target: string): Step => ({
      name: `record ${target}`,
      async run() {
        if (written.includes(target)) return
        await log.record({ who: 'owner', what: 'deploy', target, result: 'ok' })
        written = [...written, target]
      },
    })
    return { steps: [add('one'), add('two'), add('three')], state: () => written, close: () => log.close() }
  },
  read(home) {
    // whoever writes next is who finds that it went back, or is another than it was
    openLog(home).check()
    const { rows } = readAuditRows(auditPlaces(home).path)
    const { report } = checkAuditFile(identity.id, auditPlaces(home), [])
    if (report.trouble !== null) throw new AuditDamagedError('the audit log does not hold together')
    const targets = rows.map(({ content }) => (JSON.parse(String(content)) as { target: string }).target)
    // whoever was refused says it again: it may stand there twice, and never not at all
    return targets.filter((target, index) => target !== targets[index - 1])
  },
}

/** Of another peer, whose log grows. */
const OTHER = identityNumber(5)

const auditHeads: Kind = {
  name: 'heads of others',
  async open(home) {
    const witnesses = await Witnesses.open(home, (error) => {
      throw error
    })
    const hear = (seq: number): Step => ({
      name: `hear of ${seq}`,
      async run() {
        const hash = seq.toString(16).padStart(64, '0')
        witnesses.offer(
          OTHER.id,
          signHead({ seq, hash }, (bytes) => OTHER.sign(bytes)),
        )
        await witnesses.settled()
        if (!witnesses.isSaved) throw Object.assign(new Error('it waits for room'), { code: 'WEFT-TRU-082' })
      },
    })
    return {
      steps: [hear(1), hear(2), hear(3)],
      state: () => witnesses.newest().map(({ seq, hash }) => `${seq} ${hash}`),
      close: () => witnesses.settled(),
    }
  },
}

const policyText = (model: string): string =>
  `${JSON.stringify({ schema: 'weft.policy/1', rules: [{ name: 'r', allow: ['compute'], models: [model] }] }, null, 2)}\n`

const policy: Kind = {
  name: 'policy',
  isText: true,
  /** The log says that there is one, and there is none: the site does not start without it. */
  afterCrash: 'WEFT-TRU-073',
  prepare(home) {
    for (const folder of ['state', 'keys']) mkdirSync(join(home, folder))
  },
  open(home) {
    const log = openLog(home)
    const path = join(home, 'policy.json')
    const apply = (model: string): Step => ({
      name: `apply ${model}`,
      /** As the command does: the log says it first, so that a file which is gone is missed. */
      async run() {
        const text = policyText(model)
        const { sha256 } = readPolicy(text, path)
        await log.record({ who: 'owner', what: POLICY_IN_FORCE, result: 'ok', facts: { sha256 } })
        await writePolicyFile(path, text)
      },
    })
    return {
      steps: [apply('one'), apply('two')],
      state: async () => readFile(path, 'utf8').catch(() => null),
      close: () => log.close(),
    }
  },
  async read(home) {
    const path = join(home, 'policy.json')
    const site = await openSitePolicy(
      {
        clock: systemClock(),
        standing: () => standingPolicy(auditPlaces(home).path),
        changed: () => undefined,
        refused: () => undefined,
      },
      { path, watch: false },
    )
    site.stop()
    return readFile(path, 'utf8').catch(() => null)
  },
}

export const KINDS: readonly Kind[] = [auditLog, auditHeads, policy]
