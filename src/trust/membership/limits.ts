/** Milliseconds that certificates of members may be good for. */
export const CERTIFICATE_LIFETIME = {
  /** Shorter ones would be over before those who sign them have told everybody. */
  least: 10_000,
  most: 366 * 86_400_000,
  /** Where the log says nothing: they are signed and shown, and asked of nobody. */
  usual: 86_400_000,
  /**
   * Of a cluster that is founded without a word about it, and asks for them: renewed each day, so that all admins may be away
   * for four weeks.
   */
  founded: 30 * 86_400_000,
} as const

/** Limits of a membership log, checked before anything else of it is believed. */
export const LOG_LIMITS = {
  /** An entry with a rotation has a box for each member, 64 bytes. */
  entryBytes: 1 << 20,
  /** More peers than any site has; a rotation for them is an entry of 260 KB. */
  members: 4_096,
  /** A ceremony with more people is a crowd. */
  admins: 15,
  entries: 1_000_000,
  name: 64,
  site: 64,
  reason: 200,
  /** Times of members' clocks further ahead than this are refused where times matter. */
  skewMs: 300_000,
} as const
