/** Checks of `weft doctor --security`: what an officer of a site would ask, each with what to do. */
import { lstat, readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { packageRoot } from '../../peer/index.ts'
import { RESTORING } from '../../store/index.ts'
import {
  auditPlaces,
  checkAuditFile,
  checkFolderModes,
  checkKeyModes,
  identityOwner,
  keyStatus,
  ownWitnesses,
  POLICY_FILE,
  policyStamp,
  readPolicyFile,
  standingPolicy,
} from '../../trust/index.ts'
import { shortId } from '../format.ts'
import { printable } from '../text.ts'
import { checkClock } from './clock.ts'
import { fail, ok, warn } from './finding.ts'
import type { Check } from './finding.ts'

const DAY_MS = 86_400_000
/** A backup that is older has missed a month of the ledger. */
const OLD_DAYS = 30
/** Rules of the audit log are kept for six years where HIPAA asks for it; a disk that fills up ends that. */
const MAX_AUDIT_BYTES = 1 << 30
/** Of greetings between peers that speak no protocol in common. */
const OTHER_PROTOCOL = 'WEFT-DSC-002'
const ONE_VERSION = 'bring all peers to one version'
/** One line each; weft peers bans has them all. */
const MOST_BANS = 8

export const checkModes: Check = async ({ home }) => {
  const keys = join(home, 'keys')
  await checkFolderModes([home, keys])
  await checkKeyModes(keys)
  const stats = await lstat(home).catch(() => undefined)
  const mode = (stats?.mode ?? 0o700) & 0o777
  if ((mode & 0o077) === 0) return [ok('key-modes', 'keys and home are for their owner alone')]
  return [
    warn(
      'key-modes',
      `the home has mode 0${mode.toString(8)}: others may ${(mode & 0o022) === 0 ? 'look into it' : 'change it'}`,
      `chmod 700 ${home}`,
    ),
  ]
}

export const checkEncryption: Check = async ({ home }) => {
  const keys = await keyStatus(join(home, 'keys'))
  const open = keys.filter(({ sealed }) => !sealed).map(({ file }) => file)
  if (keys.length === 0) return [ok('keys-at-rest', 'no private keys yet')]
  if (open.length === 0) return [ok('keys-at-rest', `${keys.length} keys are encrypted at rest`)]
  const what = `${open.join(', ')}: whoever has the disk has the key`
  return [warn('keys-at-rest', what, 'weft key encrypt, or encrypt the disk')]
}

export const checkExposure: Check = async ({ status }) => {
  if (status === null) return [ok('api-exposure', 'no peer runs')]
  const { http } = status.peer
  if (http === null) return [ok('api-exposure', 'no HTTP at all')]
  const host = new URL(http).hostname.replace(/^\[|\]$/g, '')
  const isLocal = host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
  if (isLocal) return [ok('api-exposure', `${http}: this machine alone`)]
  const fix = 'put a proxy with TLS before it, or --http 127.0.0.1:7333'
  return [warn('api-exposure', `${http} answers others, with a key but without TLS`, fix)]
}

export const checkPolicy: Check = async ({ home, status }) => {
  const path = join(home, POLICY_FILE)
  if ((await policyStamp(path)) === null) {
    if (standingPolicy(auditPlaces(home).path) !== null)
      return [
        fail('policy', `${path} is gone, and was not taken out`, 'weft policy apply FILE, or weft backup restore'),
      ]
    return [warn('policy', 'there is none: everything is allowed', 'weft policy apply FILE (docs/policy.md)')]
  }
  const { policy } = await readPolicyFile(path)
  const running = status?.site?.policy
  if (running !== undefined && running?.sha256 !== policy.sha256)
    return [fail('policy', 'the running peer has another one in force', 'weft status says why; weft policy check')]
  if (policy.rules.length === 0) return [warn('policy', 'it has no rules: everything is denied', 'weft policy explain')]
  return [ok('policy', `${policy.rules.length} rules, and nobody but its owner may change them`)]
}

export const checkAuditLog: Check = async ({ home, status }) => {
  const peer = await identityOwner(join(home, 'keys'))
  if (peer === undefined) return [ok('audit', 'nothing was written down yet')]
  const places = auditPlaces(home)
  const { report } = checkAuditFile(peer, places, await ownWitnesses(join(home, 'state')))
  const { entries, trouble, unsigned, witnesses } = report
  if (trouble !== null)
    return [fail('audit', `entry ${trouble.entry}: ${trouble.why}`, 'docs/security/runbooks.md, "Suspected tampering"')]
  const why = status?.site?.audit.why ?? null
  if (why !== null) return [fail('audit', `entries wait that cannot be written: ${why}`, 'free space on the disk')]
  const size = (await lstat(places.path).catch(() => undefined))?.size ?? 0
  if (size > MAX_AUDIT_BYTES)
    return [warn('audit', `the log has ${size} bytes`, 'weft audit export to an archive; keep the file')]
  const said = `${entries} entries hold together`
  if (witnesses.length === 0)
    return [warn('audit', `${said}, and no other peer remembers a head`, 'run beside another peer of the site')]
  return [
    ok(
      'audit',
      `${said}; ${new Set(witnesses.map(({ by }) => by)).size} peers remember heads${unsigned > 0 ? `; ${unsigned} unsigned` : ''}`,
    ),
  ]
}

export const checkBackup: Check = async ({ home, io }) => {
  if ((await lstat(join(home, RESTORING)).catch(() => undefined)) !== undefined)
    return [fail('backup', 'the home was restored by half', 'weft backup restore again')]
  const text = await readFile(join(home, 'state', 'backup.json'), 'utf8').catch(() => undefined)
  if (text === undefined) return [warn('backup', 'there is none', 'weft backup create --to DIR')]
  const { at } = JSON.parse(text) as { at?: unknown }
  const days = (io.clock.wall() - Date.parse(String(at))) / DAY_MS
  if (!(days <= OLD_DAYS)) return [warn('backup', `the last is of ${String(at)}`, 'weft backup create')]
  return [ok('backup', `the last is of ${String(at)}`)]
}

export const checkLan: Check = async ({ status }) => {
  if (status === null) return [ok('lan', 'no peer runs')]
  const { lan, network } = status.peer
  const cluster = status.cluster ?? null
  if (cluster !== null) return [ok('lan', `members of ${cluster.name} alone join`)]
  if (lan !== 'open') return [ok('lan', `peers on the LAN: ${lan}`)]
  return [
    warn(
      'lan',
      `whoever is on the LAN and has the key of ${network} joins unasked`,
      'weft up --lan confirm or off, with --network-key',
    ),
  ]
}

/** Members whom no admin has confirmed for long are refused where the cluster asks for certificates. */
export const checkCertificates: Check = async ({ status }) => {
  const cluster = status?.cluster ?? null
  if (cluster === null) return [ok('certificates', status === null ? 'no peer runs' : 'no cluster')]
  const { lifetime_ms, required, own, expired } = cluster.certificates
  const fix = 'start an admin; weft cluster show says whose ends when'
  if (own?.expired === true) {
    const what = `that of this peer ended at ${own.until}`
    return [required ? fail('certificates', `${what}: it is refused`, fix) : warn('certificates', what, fix)]
  }
  if (expired > 0) return [warn('certificates', `those of ${expired} members are over`, fix)]
  if (required && own?.late === true)
    return [warn('certificates', `that of this peer ends at ${own.until}, and no admin has renewed it`, fix)]
  if (lifetime_ms === 0) return [ok('certificates', 'the cluster has none')]
  const asked = required ? 'whose is over is refused' : 'nobody is refused for one: weft cluster certificates 24h'
  return [
    ok('certificates', `ours ends at ${own?.until ?? 'no time'}, renewed from ${own?.renews ?? 'none'} on; ${asked}`),
  ]
}

export const checkClone: Check = async ({ status }) => {
  const cloned = status?.site?.cloned ?? null
  if (cloned === null) return [ok('identity', 'this identity was met in one place alone')]
  return [
    fail(
      'identity',
      `it was met in a second place at ${cloned.at}`,
      'docs/security/runbooks.md, "Copied or stolen identity"',
    ),
  ]
}

/** Versions of others: a peer that is behind lacks what was mended since. */
export const checkVersions: Check = async ({ status }) => {
  if (status === null) return [ok('versions', 'no peer runs')]
  const own = status.peer.version
  const apart = status.seen_not_joined.filter(({ code }) => code === OTHER_PROTOCOL)
  if (apart.length > 0)
    return apart.map(({ id, address, why }) => {
      const who = id === null ? (address ?? 'somebody') : shortId(id)
      return warn('versions', `${printable(who)} speaks no protocol of ours: ${printable(why)}`, ONE_VERSION)
    })
  const others = status.peers.filter(({ state, version }) => state === 'connected' && version !== own)
  if (others.length === 0) return [ok('versions', `all connected peers run ${own}`)]
  const names = others.map(({ name, version }) => `${printable(name)} ${printable(version)}`).join(', ')
  return [warn('versions', `this peer runs ${own}, and ${names}`, ONE_VERSION)]
}

/** Who is kept out for a while, and why: an attack that goes on, or a peer of ours that is broken. */
export const checkBans: Check = async ({ status }) => {
  if (status === null) return [ok('bans', 'no peer runs')]
  const bans = status.site?.bans ?? []
  if (bans.length === 0) return [ok('bans', 'nobody is kept out')]
  return bans.slice(0, MOST_BANS).map(({ subject, why, until }) => {
    const what = `${printable(subject)} is kept out until ${new Date(until).toISOString()}: ${why}`
    return warn('bans', what, 'weft peers bans; weft peers unban SUBJECT where it is one of yours')
  })
}

/** Packages that run a script at their installation: none of ours but the runtime's own. */
export const checkSupply: Check = async () => {
  const text = await readFile(join(packageRoot(), 'package.json'), 'utf8')
  const { allowScripts = {}, dependencies = {} } = JSON.parse(text) as {
    allowScripts?: Record<string, boolean>
    dependencies?: Record<string, string>
  }
  const loose = Object.entries(dependencies).filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))
  if (loose.length > 0)
    return [fail('supply', `not pinned: ${loose.map(([name]) => name).join(', ')}`, 'install a release of weft again')]
  const scripts = Object.entries(allowScripts).filter(([, allowed]) => allowed)
  const said = `${Object.keys(dependencies).length} dependencies, each of one version`
  return [ok('supply', `${said}; install scripts allowed: ${scripts.map(([name]) => name).join(', ') || 'none'}`)]
}

export const SECURITY_CHECKS: readonly (readonly [string, Check])[] = [
  ['key-modes', checkModes],
  ['keys-at-rest', checkEncryption],
  ['api-exposure', checkExposure],
  ['policy', checkPolicy],
  ['audit', checkAuditLog],
  ['backup', checkBackup],
  ['lan', checkLan],
  ['certificates', checkCertificates],
  ['identity', checkClone],
  ['versions', checkVersions],
  ['clock', checkClock],
  ['bans', checkBans],
  ['supply', checkSupply],
]
