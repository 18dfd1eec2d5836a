/** What the site of a peer is asked where sessions begin. */
export interface SiteGate {
  /** Whether sessions of another origin may be computed here. @throws where the site does not allow it */
  admit?(origin: string, digest: string): void
  /** Whether sessions of this peer may go over another. @throws where the site does not allow it */
  permit?(peer: string, digest: string): void
}
