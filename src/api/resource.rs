//! Types that stand for the objects of a kind.

/// Makes a type a [`kube::Resource`] of this kind: `resource_of!(KIND, impl[GENERICS] TYPE, self => METADATA, METADATA AS MUT)`.
macro_rules! resource_of {
    ($kind:ty, impl[$($generics:tt)*] $type:ty, $self:ident => $metadata:expr, $metadata_mut:expr) => {
        impl<$($generics)*> kube::Resource for $type {
            type DynamicType = ();
            type Scope = <$kind as kube::Resource>::Scope;

            fn kind((): &()) -> std::borrow::Cow<'_, str> {
                <$kind as kube::Resource>::kind(&())
            }

            fn group((): &()) -> std::borrow::Cow<'_, str> {
                <$kind as kube::Resource>::group(&())
            }

            fn version((): &()) -> std::borrow::Cow<'_, str> {
                <$kind as kube::Resource>::version(&())
            }

            fn plural((): &()) -> std::borrow::Cow<'_, str> {
                <$kind as kube::Resource>::plural(&())
            }

            fn meta(&$self) -> &ObjectMeta {
                $metadata
            }

            fn meta_mut(&mut $self) -> &mut ObjectMeta {
                $metadata_mut
            }
        }
    };
}
