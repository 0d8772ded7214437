#!/usr/bin/perl
# Verifies messages with Mail::DKIM, one process for all of them.
#
# usage: verify.pl RECORDS MESSAGE...
# RECORDS has one line a record: name, blank, value. Prints one line a signature: the message's number, selector,
# algorithm, "pass", "fail" or "unsupported", and the reason, separated by tabs.
use strict;
use warnings;
use Mail::DKIM::Verifier;
use Mail::DKIM::PublicKey;

my ( $records_path, @messages ) = @ARGV;
my %records;
open my $records, '<', $records_path or die "$records_path: $!";
while (<$records>) {
    chomp;
    my ( $name, $value ) = split / /, $_, 2;
    $records{ lc $name } = $value;
}
close $records;

# The look-up is the one thing replaced: records come from the file.
no warnings 'redefine';
*Mail::DKIM::PublicKey::fetch_async = sub {
    my ( $class, %wanted ) = @_;
    my $name    = lc "$wanted{Selector}._domainkey.$wanted{Domain}";
    my $success = ( $wanted{Callbacks} || {} )->{Success} || sub { $_[0] };
    return sub {
        my $record = $records{$name} or return $success->();
        my $key = $class->parse($record);
        $key->{Selector} = $wanted{Selector};
        $key->{Domain}   = $wanted{Domain};
        $key->check;
        return $success->($key);
    };
};

for my $number ( 0 .. $#messages ) {
    my $verifier = Mail::DKIM::Verifier->new;
    open my $message, '<:raw', $messages[$number] or die "$messages[$number]: $!";
    $verifier->PRINT($_) while <$message>;
    close $message;
    $verifier->CLOSE;
    for my $signature ( $verifier->signatures ) {
        my $result = $signature->result || 'none';
        my $detail = $signature->result_detail || '';
        my $algorithm = $signature->algorithm || '?';
        my $outcome =
            $result eq 'pass' ? 'pass'
          : $detail =~ /unsupported|unknown algorithm/i ? 'unsupported'
          :                                               'fail';
        $detail =~ s/[\t\n]/ /g;
        print join( "\t", $number, $signature->selector, $algorithm, $outcome, $detail ), "\n";
    }
}
