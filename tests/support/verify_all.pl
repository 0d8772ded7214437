#!/usr/bin/perl
# Verifies messages with Mail::DKIM as they come, records asked of a resolver.
#
# usage: verify_all.pl ADDRESS PORT
# Takes messages on standard input, each after a line with the selector that matters ("*": all) and the message's length
# in octets. Prints a line for each signature: selector, algorithm, "pass", "fail" or "unsupported", and the reason,
# separated by tabs; then a line with a dot.
use strict;
use warnings;
use Mail::DKIM::DNS;
use Mail::DKIM::Verifier;
use Net::DNS;

my ( $address, $port ) = @ARGV;
my $resolver = Net::DNS::Resolver->new(
    nameservers => [$address],
    port        => $port,
    recurse     => 1,
    udp_timeout => 30,
    retry       => 3,
    config_file => '/dev/null',
);
Mail::DKIM::DNS::resolver($resolver);
binmode STDIN;
$| = 1;

while ( my $line = <STDIN> ) {
    my ( $wanted, $length ) = split ' ', $line;
    my $octets = '';
    while ( length $octets < $length ) {
        read( STDIN, $octets, $length - length $octets, length $octets ) or die "a message ended early\n";
    }
    my $verifier = Mail::DKIM::Verifier->new;
    $verifier->PRINT($octets);
    $verifier->CLOSE;
    for my $signature ( $verifier->signatures ) {
        next unless $wanted eq '*' || $wanted eq $signature->selector;
        my $result    = $signature->result        || 'none';
        my $detail    = $signature->result_detail || '';
        my $algorithm = $signature->algorithm     || '?';
        my $outcome =
            $result eq 'pass' ? 'pass'
          : $detail =~ /unsupported|unknown algorithm/i ? 'unsupported'
          :                                               'fail';
        $detail =~ s/[\t\n]/ /g;
        print join( "\t", $signature->selector, $algorithm, $outcome, $detail ), "\n";
    }
    print ".\n";
}
