/** The systemd unit of a peer: what it may touch is what it needs. */
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Environment } from '../util/index.ts'

export type Scope = 'user' | 'system'

export interface UnitInit {
  readonly scope: Scope
  /** Command and first arguments that start weft. */
  readonly self: readonly string[]
  readonly home: string
  /** Further arguments of `weft up`. */
  readonly options: readonly string[]
}

/** systemd.syntax(7): a value in double quotes, with `\`, `"`, `%` and `$` escaped. */
export function quoteUnitValue(text: string): string {
  return `"${text.replace(/[\\"]/g, '\\$&').replaceAll('%', '%%').replaceAll('$', '$$$$')}"`
}

export function unitText({ home, scope, self, options }: UnitInit): string {
  const start = [...self, 'up', '--foreground', '--home', home, ...options].map(quoteUnitValue).join(' ')
  // A user's manager cannot take rights away in all the ways that the machine's can.
  const strict =
    scope === 'system'
      ? [
          'ProtectSystem=strict',
          `ReadWritePaths=${quoteUnitValue(home)}`,
          'PrivateTmp=yes',
          'ProtectKernelTunables=yes',
        ]
      : []
  return [
    '[Unit]',
    'Description=weft peer',
    'Wants=network-online.target',
    'After=network-online.target',
    '',
    '[Service]',
    'Type=exec',
    `ExecStart=${start}`,
    'Restart=on-failure',
    'RestartSec=2',
    // Longer than the drain, so that answers in flight are finished.
    'TimeoutStopSec=60',
    'KillMode=mixed',
    'UMask=0077',
    'NoNewPrivileges=yes',
    ...strict,
    '',
    '[Install]',
    `WantedBy=${scope === 'user' ? 'default.target' : 'multi-user.target'}`,
    '',
  ].join('\n')
}

export function unitPath(scope: Scope, env: Environment): string {
  if (scope === 'system') return '/etc/systemd/system/weft.service'
  const config = env['XDG_CONFIG_HOME']
  const folder = config !== undefined && config.startsWith('/') ? config : join(env['HOME'] ?? homedir(), '.config')
  return join(folder, 'systemd', 'user', 'weft.service')
}

/** What to run after the unit is written or removed; weft itself changes no state of systemd. */
export function nextCommands(scope: Scope, action: 'install' | 'uninstall'): string[] {
  const systemctl = scope === 'user' ? 'systemctl --user' : 'sudo systemctl'
  if (action === 'uninstall') return [`${systemctl} daemon-reload`]
  const start = [`${systemctl} daemon-reload`, `${systemctl} enable --now weft`]
  return scope === 'user' ? [...start, 'loginctl enable-linger    # to run while nobody is logged in'] : start
}
